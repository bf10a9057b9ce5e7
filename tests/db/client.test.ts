import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { connect, openConnection, openDb } from "../../src/db/client.ts";
import type { Db } from "../../src/db/port.ts";
import { silentLog } from "../../src/lib/log.ts";
import { Secret } from "../../src/lib/secret.ts";
import { type TestDatabase, testDatabase } from "../support/db.ts";
import { soon, until } from "../support/until.ts";

let database: TestDatabase;
let judge: ReturnType<typeof connect>;
before(async () => {
	database = await testDatabase();
	judge = connect(new Secret(database.url), 2, { applicationName: "judge" });
});
after(async () => {
	await judge.end({ timeout: 1 });
	await database.drop();
});

function open(extra: Partial<Parameters<typeof openDb>[0]> = {}, url = database.url): Db {
	return openDb({ url: new Secret(url), directUrl: new Secret(url), log: silentLog, ...extra });
}

test("the rest of a transaction whose connection was lost never runs in the transaction that comes next", async () => {
	// One connection, so that the next transaction gets the place of the lost one.
	const db = open({ txPoolSize: 1 });
	try {
		await db.sql`create table pair (id integer primary key, value integer not null)`;
		await db.sql`insert into pair values (1, 0), (2, 0)`;
		const [goOn, wentOn] = [gate(), gate()];
		const cut = db.tx(
			async (tx) => {
				await tx`update pair set value = -1 where id = 1`;
				const [row] = await tx`select pg_backend_pid() as pid`;
				await judge`select pg_terminate_backend(${row?.["pid"]}, 10000)`;
				await goOn.opened;
				try {
					await tx`update pair set value = 1 where id = 2`;
				} finally {
					wentOn.open();
				}
			},
			{ retries: 0 },
		);
		const next = db.tx(async (tx) => {
			await tx`update pair set value = 100 where id = 1`;
			goOn.open();
			await wentOn.opened;
			throw new Error("the next one changes its mind");
		});
		const outcomes = Promise.allSettled([cut, next]);
		// The next one has every chance to begin while the first one's work still hangs; it must not need to.
		for (let turn = 0; turn < 100; turn++) await judge`select pg_sleep(0.001)`;
		goOn.open();
		const reasons = (await soon("both transactions' ends", outcomes)).map((one) => one.status === "rejected" && String(one.reason));
		const rows = await judge`select value from pair order by id`;
		assert.deepEqual(
			rows.map((row) => row["value"]),
			[0, 0],
		);
		assert.match(String(reasons[0]), /^LinkError: .*closed the connection/);
		assert.equal(reasons[1], "Error: the next one changes its mind");
	} finally {
		await db.close(1_000);
	}
});

test("a connection that someone left inside of a transaction is not lent to the next", async () => {
	const db = open({ poolSize: 1 });
	try {
		await db.sql`create table strays (id integer)`;
		await db.sql`begin`;
		await db.sql`insert into strays (id) values (1)`;
		assert.deepEqual([...(await judge`select id from strays`)], [{ id: 1 }], "it was a transaction of its own");
	} finally {
		await db.close(1_000);
	}
});

test("a statement that the driver cannot write is refused alone: those around it get their own answers", async () => {
	const db = open({ poolSize: 2 });
	try {
		const circular: Record<string, unknown> = {};
		circular["self"] = circular;
		const answers = await Promise.allSettled(
			Array.from({ length: 60 }, async (_, index) => {
				if (index % 3 === 0) return db.sql`select ${db.sql.json(circular as never)}::jsonb as value`;
				if (index % 3 === 1) return db.sql`select ${undefined as never}::text as value`;
				return (await db.sql`select ${index}::integer as value`)[0]?.["value"];
			}),
		);
		for (const [index, answer] of answers.entries()) {
			if (index % 3 === 2) assert.deepEqual(answer, { status: "fulfilled", value: index });
			else assert.equal(answer.status, "rejected");
		}
	} finally {
		await db.close(1_000);
	}
});

test("arrays of dates, bigints and booleans go through unnest, and arrays come back as arrays", async () => {
	const { sql } = database.db;
	const [noon, night] = [new Date("2026-11-21T12:00:00.123Z"), new Date("2026-11-21T00:00:00Z")];
	const [row] = await sql`
		select array(select unnest(${[noon, night]}::timestamptz[])) as dates,
			array(select unnest(${[2n ** 60n, -1n]}::bigint[])) as bigs,
			array(select unnest(${[true, false]}::boolean[])) as flags,
			array(select unnest(${["a,b", 'say "hi"', "back\\slash", null, "NULL"]}::text[])) as texts,
			array(select unnest(${[1, 2]}::integer[])) as numbers`;
	assert.deepEqual(
		{ ...row },
		{
			dates: [noon, night],
			bigs: [2n ** 60n, -1n],
			flags: [true, false],
			texts: ["a,b", 'say "hi"', "back\\slash", null, "NULL"],
			numbers: [1, 2],
		},
	);
	assert.deepEqual((await sql`select ${sql.array(["a", "b"])}::text[] as texts`)[0]?.["texts"], ["a", "b"]);
	assert.deepEqual((await sql`select id from unnest(${[]}::text[]) as id`).length, 0);
});

test("int8 is a bigint, timestamptz a Date, jsonb goes in and out unchanged, columns come in camelCase", async () => {
	const { sql } = database.db;
	const value = { some_key: [1, "two", null], nested: { deep_key: true } };
	const [row] =
		await sql`select 9007199254740993::int8 as big_one, '2026-11-21T12:00:00Z'::timestamptz as at_noon, ${sql.json(value)}::jsonb as the_json`;
	assert.deepEqual({ ...row }, { bigOne: 9007199254740993n, atNoon: new Date("2026-11-21T12:00:00Z"), theJson: value });
});

test("with ?prepare=false nothing is prepared, and a transaction still has its time limits", async () => {
	const db = open({ statementTimeoutMs: 200 }, `${database.url}${database.url.includes("?") ? "&" : "?"}prepare=false`);
	try {
		for (let round = 0; round < 3; round++) await db.sql`select ${round}::integer`;
		await db.tx(async (tx) => {
			const [row] =
				await tx`select current_setting('statement_timeout') as timeout, (select count(*)::integer from pg_prepared_statements) as prepared`;
			assert.deepEqual({ ...row }, { timeout: "200ms", prepared: 0 });
		});
		const slow = db.tx((tx) => tx`select pg_sleep(600)`.then(() => undefined));
		await assert.rejects(soon("the timeout", slow), { code: "57014" });
	} finally {
		await db.close(1_000);
	}
});

test("ping says why the database is away: nothing listens, or there is no such database", async () => {
	const away = new URL(database.url);
	if (away.searchParams.has("host")) away.searchParams.set("host", "/nowhere/at-all");
	else away.port = "1";
	const wrong = new URL(database.url);
	wrong.pathname = "/no_such_database";
	for (const [url, code] of [
		[away.href, /^(ENOENT|ECONNREFUSED)$/],
		[wrong.href, /^3D000$/],
	] as const) {
		const db = open({}, url);
		const error = await db.ping(300).then(
			() => undefined,
			(reason: Error & { code?: string }) => reason,
		);
		assert.match(error?.code ?? "", code);
		assert.ok(!error?.message.includes(decodeURIComponent(new URL(database.url).password) || "\0"), "the password is not in it");
		await db.close(1_000);
	}
});

test("close waits for the transaction under way, refuses what comes later, and leaves no connection behind", async () => {
	const db = open({ applicationName: "closing" });
	await db.sql`create table closings (id integer)`;
	const [begun, goOn] = [gate(), gate()];
	const running = db.tx(async (tx) => {
		await tx`insert into closings (id) values (1)`;
		begun.open();
		await goOn.opened;
		await tx`insert into closings (id) values (2)`;
	});
	await begun.opened;
	const closing = db.close(30_000);
	await assert.rejects(
		db.tx(async () => {}),
		{ code: "CONNECTION_ENDED" },
	);
	goOn.open();
	await running;
	await closing;
	await assert.rejects(Promise.resolve(db.sql`select 1`), { code: "CONNECTION_ENDED" });
	assert.equal((await judge`select id from closings`).length, 2);
	await until("the end of the connections", async () => {
		return (await judge`select 1 from pg_stat_activity where application_name = 'closing' and datname = current_database()`).length === 0;
	});
});

test("a connection of its own says when it is gone, and is not replaced behind its owner's back", async () => {
	const connection = await openConnection(new Secret(database.url), { applicationName: "owner" });
	await connection.sql`select pg_advisory_lock(42)`;
	await judge`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'owner' and datname = current_database()`;
	await soon("the loss", connection.gone);
	assert.ok(connection.lost instanceof Error);
	await assert.rejects(Promise.resolve(connection.sql`select 1`), { name: "LinkError" });
});

function gate(): { readonly opened: Promise<void>; open(): void } {
	let open = () => {};
	const opened = new Promise<void>((resolve) => {
		open = resolve;
	});
	return { opened, open: () => open() };
}
