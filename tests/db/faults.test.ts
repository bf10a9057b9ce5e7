import assert from "node:assert/strict";
import { chmod, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, test } from "node:test";
import { connect, openDb } from "../../src/db/client.ts";
import { removeDataDir } from "../../src/db/embedded-files.ts";
import { startEmbedded } from "../../src/db/embedded.ts";
import { silentLog } from "../../src/lib/log.ts";
import { Secret } from "../../src/lib/secret.ts";
import { type TestDatabase, testDatabase } from "../support/db.ts";
import { soon, until } from "../support/until.ts";
import { type Child, startChild } from "./child.ts";

let database: TestDatabase;
/** Outlives what the tests do to the connections of `database`. */
let admin: ReturnType<typeof connect>;
before(async () => {
	database = await testDatabase();
	admin = connect(new Secret(database.url), 1, { applicationName: "judge" });
});
after(async () => {
	await admin.end({ timeout: 1 });
	await database.drop();
});

void test("G2 a backend that dies amid transactions costs no process, no money and no committed transfer; work goes on by itself", async () => {
	await openAccounts(admin);
	const program = startChild("transfers", { TRANSFERS_URL: database.url });
	try {
		for (let round = 0; round < 40; round++) {
			await until("a backend amid a transaction to terminate", async () => {
				const killed = await admin`
					select pg_terminate_backend(pid) as done from pg_stat_activity
					where datname = current_database() and application_name = 'transfers' and xact_start is not null and backend_type = 'client backend'
						and (${round} % 2 = 0 or state like 'idle in transaction%')
					order by random() limit ${1 + (round % 3)}`;
				return killed.some((row) => row["done"] === true);
			});
			const before = committed(program).length;
			await until(`transfers after the cut number ${round}\n${program.stderr()}`, () => committed(program).length > before + 3);
		}
		await finishes(program);
		await judge(admin, program);
	} finally {
		await program.stop();
	}
});

void test("G2 G4 a PostgreSQL that crashes and comes back under load costs no process, no money and no committed transfer", async () => {
	const home = await mkdtemp(join(tmpdir(), "muster-test-"));
	await chmod(home, 0o755);
	const dataDir = join(home, "data");
	const first = await startEmbedded({ dataDir, log: silentLog });
	let second: typeof first | undefined;
	let program: Child | undefined;
	try {
		const setup = connect(first.url, 1, {});
		await openAccounts(setup);
		await setup.end();
		program = startChild("transfers", { TRANSFERS_URL: first.url.reveal() });
		const { lines } = program;
		const counted = () => committed({ lines }).length;
		await until("transfers before the crash", () => counted() > 100);
		await crash(dataDir);
		await until("a transfer that noticed the crash", () => lines.some((line) => line["outcome"] === "failed" || line["kind"] === "unread"));
		second = await startEmbedded({ dataDir, log: silentLog });
		assert.equal(second.adopted, false, "the crashed PostgreSQL was started anew");
		const before = counted();
		await until(`transfers after the crash\n${program.stderr()}`, () => counted() > before + 100);
		await finishes(program);
		const judging = connect(second.url, 1, {});
		await judge(judging, program);
		await judging.end();
	} finally {
		await program?.stop();
		await second?.stop();
		await first.stop();
		await removeDataDir(dataDir);
		await rm(home, { recursive: true, force: true });
	}
});

void test("G5 LISTEN is in force again after its connection was lost, and says that there is a gap", async () => {
	const url = new Secret(database.url);
	const db = openDb({ url, directUrl: url, log: silentLog, applicationName: "listener" });
	const heard: string[] = [];
	let gaps = 0;
	const listening = await db.listen(
		"faults",
		(payload) => heard.push(payload),
		() => gaps++,
	);
	try {
		await admin`select pg_notify('faults', 'before')`;
		await until("the first notification", () => heard.includes("before"));
		for (let round = 1; round <= 3; round++) {
			const gapsBefore = gaps;
			const killed = await admin`
				select pg_terminate_backend(pid) as done from pg_stat_activity
				where datname = current_database() and application_name = 'listener' and query ilike 'listen%'`;
			assert.deepEqual(
				killed.map((row) => row["done"]),
				[true],
			);
			await until("the gap's announcement", () => gaps > gapsBefore);
			await admin`select pg_notify('faults', ${`after ${round}`})`;
			await until("a notification after the loss", () => heard.includes(`after ${round}`));
		}
		assert.deepEqual(heard, ["before", "after 1", "after 2", "after 3"], "each once");
	} finally {
		await listening.close();
		await db.close(1_000);
	}
});

void test("an undefined parameter throws, and nothing of its statement or its transaction is written", async () => {
	await admin`create table undefineds (id integer, note text)`;
	const { db } = database;
	const missing = undefined as never;
	await assert.rejects(Promise.resolve(db.sql`insert into undefineds (id, note) values (1, ${missing})`), /undefined/i);
	await assert.rejects(
		db.tx(async (tx) => {
			await tx`insert into undefineds (id, note) values (2, 'good')`;
			await tx`insert into undefineds (id, note) values (3, ${missing})`;
		}),
		/undefined/i,
	);
	await db.sql`insert into undefineds (id, note) values (4, ${null})`;
	const rows = await admin`select id from undefineds order by id`;
	assert.deepEqual(
		rows.map((row) => row["id"]),
		[4],
	);
});

void test("a statement that runs too long is cancelled with 57014, and its transaction is not run again", async () => {
	const url = new Secret(database.url);
	const db = openDb({ url, directUrl: url, log: silentLog, statementTimeoutMs: 200 });
	try {
		await assert.rejects(soon("the timeout", Promise.resolve(db.sql`select pg_sleep(600)`)), { code: "57014" });
		let works = 0;
		const slow = db.tx(async (tx) => {
			works++;
			await tx`select pg_sleep(600)`;
		});
		await assert.rejects(soon("the timeout", slow), { code: "57014" });
		assert.equal(works, 1);
		assert.equal((await db.sql`select 1 as one`)[0]?.["one"], 1, "the connection is of use afterwards");
	} finally {
		await db.close(1_000);
	}
});

/** 16 accounts of 1,000 each. The ledger has no key, so that a transfer that ran twice can be seen. */
async function openAccounts(sql: typeof admin): Promise<void> {
	await sql`create table accounts (id integer primary key, balance integer not null)`;
	await sql`create table ledger (id integer not null, source integer not null, target integer not null, amount integer not null)`;
	await sql`insert into accounts (id, balance) select n, 1000 from generate_series(0, 15) n`;
}

async function finishes(program: Child): Promise<void> {
	program.finish();
	const code = await soon(`the program's end\n${program.stderr()}`, program.ended);
	assert.equal(code, 0, `the process lives to its end; it said:\n${program.stderr()}`);
	assert.equal(program.lines.at(-1)?.["kind"], "end");
}

function committed({ lines }: Pick<Child, "lines">): readonly Readonly<Record<string, unknown>>[] {
	return lines.filter((line) => line["outcome"] === "committed");
}

function ids(program: Child, outcome: string): number[] {
	return program.lines.filter((line) => line["outcome"] === outcome).map((line) => Number(line["id"]));
}

/** What the program believes against what the database holds. */
async function judge(sql: typeof admin, program: Child): Promise<void> {
	const ledger = (await sql`select id from ledger order by id`).map((row) => Number(row["id"]));
	const stored = new Set(ledger);
	assert.equal(stored.size, ledger.length, "no transfer is stored twice");
	assert.deepEqual(
		ids(program, "committed").filter((id) => !stored.has(id)),
		[],
		"each transfer that committed is stored",
	);
	assert.deepEqual(
		ids(program, "failed").filter((id) => stored.has(id)),
		[],
		"no transfer that failed before its commit is stored",
	);
	const known = new Set([...ids(program, "committed"), ...ids(program, "unknown")]);
	assert.deepEqual(
		ledger.filter((id) => !known.has(id)),
		[],
		"nothing is stored that the program does not know of",
	);
	const wrong = await sql`
		select a.id, a.balance from accounts a
		where a.balance <> 1000
			- (select coalesce(sum(amount), 0) from ledger where source = a.id)
			+ (select coalesce(sum(amount), 0) from ledger where target = a.id)`;
	assert.deepEqual([...wrong], [], "each balance is what its stored transfers make it");
	const sums = new Set(
		program.lines.filter((line) => line["kind"] === "sum").map((line) => `${String(line["rows"])}: ${String(line["total"])}`),
	);
	assert.deepEqual([...sums], ["16: 16000"], "no reader ever saw a part of a transfer");
}

/** SIGQUIT: the immediate shutdown of `pg_ctl stop -m immediate`. Resolves when no process of it is left. */
async function crash(dataDir: string): Promise<void> {
	const home = (await readFile(join(dataDir, "postgres-location"), "utf8").catch(() => dataDir)).trim();
	const pid = Number((await readFile(join(home, "postgres", "postmaster.pid"), "utf8")).split("\n")[0]);
	assert.ok(pid > 1);
	process.kill(pid, "SIGQUIT");
	await until("the end of the crashed PostgreSQL", () => {
		try {
			process.kill(pid, 0);
			return false;
		} catch {
			return true;
		}
	});
}
