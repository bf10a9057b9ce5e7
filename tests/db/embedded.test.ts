import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { chmod, chown, mkdtemp, readdir, readFile, readlink, realpath, rm, rmdir, stat, writeFile } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterEach, test } from "node:test";
import { connect } from "../../src/db/client.ts";
import { reachable, removeDataDir } from "../../src/db/embedded-files.ts";
import { type Embedded, startEmbedded } from "../../src/db/embedded.ts";
import { silentLog } from "../../src/lib/log.ts";
import { Secret } from "../../src/lib/secret.ts";
import { root } from "../support/runtimes.ts";
import { until } from "../support/until.ts";
import { type Child, startChild } from "./child.ts";

const isRoot = userInfo().uid === 0;
const canSwitchUser = isRoot && ["/usr/bin/setpriv", "/bin/setpriv"].some((path) => existsSync(path));
/** `nobody`, everywhere. */
const ordinary = 65_534;
const cleanUps: (() => Promise<unknown>)[] = [];

afterEach(async () => {
	const failures: unknown[] = [];
	for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp().catch((error: unknown) => failures.push(error));
	assert.deepEqual(failures, []);
});

void test("G4 the first start makes a database, the next one finds what was written", async () => {
	const dataDir = await newDataDir();
	const first = await start(dataDir);
	assert.equal(first.adopted, false);
	await query(first.url, "create table kept (id integer)");
	await query(first.url, "insert into kept (id) values (42)");
	await first.stop();
	const second = await start(dataDir);
	assert.equal(second.adopted, false);
	assert.deepEqual(await query(second.url, "select id from kept"), [{ id: 42 }]);
});

void test("G4 the database has no TCP port, a password, and files that only its account can enter", async () => {
	const dataDir = await newDataDir();
	const { url } = await start(dataDir);
	assert.deepEqual(await query(url, "show listen_addresses"), [{ listenAddresses: "" }]);
	const socketDir = new URL(url.reveal()).searchParams.get("host") ?? "";
	assert.ok(socketDir.startsWith("/"), "the URL names a socket directory");
	const modes = await Promise.all(
		[dataDir, socketDir, join(await homeOf(dataDir), "postgres"), join(dataDir, "postgres-password")].map(modeOf),
	);
	// Root lends PostgreSQL an account, whose group may pass through the directory, no more.
	assert.deepEqual(modes, [isRoot ? "710" : "700", "700", "700", "600"]);
	assert.equal((await stat(dataDir)).uid, userInfo().uid, "its secrets are the server's own");
	const wrong = new URL(url.reveal());
	wrong.password = "guess";
	await assert.rejects(query(new Secret(wrong.href), "select 1"), { code: "28P01" });
	assert.deepEqual(await passwordFilesBelow(await homeOf(dataDir)), [], "initdb's copy of the password is gone");
});

void test("G4 a database that a killed server left running is taken over with everything in it", async () => {
	const dataDir = await newDataDir();
	const { child, url } = await startOwner(dataDir);
	await query(url, "create table kept (id integer)");
	const postmaster = await postmasterOf(dataDir);
	child.kill("SIGKILL");
	await child.ended;
	const heir = await start(dataDir);
	assert.equal(heir.adopted, true);
	assert.equal(await postmasterOf(dataDir), postmaster, "it is the same process");
	assert.deepEqual(await query(heir.url, "select id from kept"), []);
	await heir.stop();
	await gone(dataDir);
});

void test("G4 a second server on the same data directory is refused by name, and the first goes on", async () => {
	const dataDir = await newDataDir();
	const { child, url } = await startOwner(dataDir);
	const postmaster = await postmasterOf(dataDir);
	await assert.rejects(startEmbedded({ dataDir, log: silentLog }), (error: Error) => {
		assert.ok(error.message.includes(`uses the data directory ${dataDir}`), error.message);
		return true;
	});
	assert.deepEqual(await query(url, "select 1 as one"), [{ one: 1 }]);
	assert.equal(await postmasterOf(dataDir), postmaster);
	child.finish();
	assert.equal(await child.ended, 0);
	const next = await start(dataDir);
	assert.equal(next.adopted, false, "the first one has stopped its database");
});

void test("G4 of servers that make the same data directory at once one gets it, and the others are refused by name", async () => {
	const dataDir = await newDataDir();
	const attempts = await Promise.allSettled([1, 2, 3].map(() => start(dataDir)));
	const [winner, ...others] = attempts.flatMap((attempt) => (attempt.status === "fulfilled" ? [attempt.value] : []));
	assert.ok(winner !== undefined && others.length === 0, JSON.stringify(attempts));
	for (const attempt of attempts) {
		if (attempt.status === "rejected")
			assert.ok(String(attempt.reason).includes(`uses the data directory ${dataDir}`), String(attempt.reason));
	}
	assert.deepEqual(await query(winner.url, "select 1 as one"), [{ one: 1 }]);
	assert.deepEqual(await passwordFilesBelow(await homeOf(dataDir)), [], "no half-made database is left");
});

void test("G4 a left-over postmaster.pid is no obstacle, whichever living program has its number now", async () => {
	const dataDir = await newDataDir();
	await start(dataDir);
	const file = join(await homeOf(dataDir), "postgres", "postmaster.pid");
	const left = await readFile(file, "utf8");
	const { uid, gid } = await stat(file);
	const other = await newDataDir();
	await start(other);
	for (const pid of [process.pid, await postmasterOf(other)]) {
		await stopAll(dataDir);
		await writeFile(file, left.replace(/^\d+/, String(pid)), { mode: 0o600 });
		await chown(file, uid, gid);
		const again = await start(dataDir);
		assert.equal(again.adopted, false);
		assert.deepEqual(await query(again.url, "select 1 as one"), [{ one: 1 }]);
	}
});

void test("stop ends every process of the database, may be called twice, and takes one that crashed for stopped", async () => {
	const dataDir = await newDataDir();
	const first = await start(dataDir);
	const session = connect(first.url, 1, {});
	await session`select 1`;
	assert.ok((await processesOf(dataDir)).length > 0, "the processes are found while it runs");
	await Promise.all([first.stop(), first.stop()]);
	await first.stop();
	await session.end({ timeout: 1 });
	await gone(dataDir);
	const second = await start(dataDir);
	process.kill(await postmasterOf(dataDir), "SIGQUIT");
	await gone(dataDir);
	await second.stop();
});

void test("a data directory with a long path works, and removing it takes its socket directory along", async () => {
	const dataDir = join(await newDataDir(), ...Array.from({ length: 5 }, () => "a-rather-long-name"), "data");
	const database = await start(dataDir);
	const socketDir = new URL(database.url.reveal()).searchParams.get("host") ?? "";
	assert.equal(await modeOf(socketDir), "700");
	await database.stop();
	await removeDataDir(dataDir);
	assert.deepEqual([existsSync(dataDir), existsSync(socketDir)], [false, false]);
});

void test("root's data directory below one that nobody else may enter works, its database outside the worker's own state directory, and removing it leaves nothing elsewhere", {
	skip: !isRoot,
}, async () => {
	const dataDir = await newDataDir(0o700);
	// Made anew where no other database is in it, and by an administrator whose files are nobody else's.
	await rmdir("/var/lib/muster-postgres").catch(() => {});
	const umask = process.umask(0o077);
	const first = await start(dataDir).finally(() => process.umask(umask));
	const home = await homeOf(dataDir);
	assert.match(home, /^\/var\/lib\/muster-postgres\/postgres-[0-9a-f]{12}$/);
	await query(first.url, "create table kept (id integer)");
	await first.stop();
	const second = await start(dataDir);
	assert.deepEqual(await query(second.url, "select id from kept"), [], "the next start finds it");
	assert.equal(await homeOf(dataDir), home);
	await second.stop();
	await removeDataDir(dataDir);
	assert.deepEqual([existsSync(home), existsSync(dataDir)], [false, false]);
});

void test("an ordinary user runs the database as themselves, past a left-over number that another user's PostgreSQL has now", {
	skip: !canSwitchUser,
}, async () => {
	const dataDir = await newDataDir();
	await chown(join(dataDir, ".."), ordinary, ordinary);
	const other = await newDataDir();
	await start(other);
	// In a checkout that other users cannot enter the user borrows root's right to read, and nothing else of root.
	const reading = (await reachable(root)) ? [] : ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"];
	const asOrdinary = ["setpriv", `--reuid=${ordinary}`, `--regid=${ordinary}`, "--clear-groups", ...reading];
	const first = await startOwner(dataDir, asOrdinary);
	assert.deepEqual(await query(first.url, "select 1 as one"), [{ one: 1 }]);
	assert.equal((await stat(`/proc/${await postmasterOf(dataDir)}`)).uid, ordinary);
	const file = join(dataDir, "postgres", "postmaster.pid");
	const left = await readFile(file, "utf8");
	first.child.finish();
	assert.equal(await first.child.ended, 0, first.child.stderr());
	await gone(dataDir);
	await writeFile(file, left.replace(/^\d+/, String(await postmasterOf(other))), { mode: 0o600 });
	await chown(file, ordinary, ordinary);
	const second = await startOwner(dataDir, asOrdinary);
	assert.deepEqual(await query(second.url, "select 1 as one"), [{ one: 1 }]);
});

/** A data directory of its own, removed after the test. */
async function newDataDir(mode = 0o755): Promise<string> {
	const home = await mkdtemp(join(tmpdir(), "muster-test-"));
	await chmod(home, mode);
	const dataDir = join(home, "data");
	cleanUps.push(async () => {
		await removeDataDir(dataDir);
		await rm(home, { recursive: true, force: true });
	});
	return dataDir;
}

const started: { readonly dataDir: string; readonly database: Embedded }[] = [];

async function start(dataDir: string): Promise<Embedded> {
	const database = await startEmbedded({ dataDir, log: silentLog });
	started.push({ dataDir, database });
	cleanUps.push(() => database.stop());
	return database;
}

async function stopAll(dataDir: string): Promise<void> {
	for (const one of started) if (one.dataDir === dataDir) await one.database.stop();
}

/** A server in a process of its own. */
async function startOwner(dataDir: string, prefix: readonly string[] = []): Promise<{ readonly child: Child; readonly url: Secret }> {
	const home = join(dataDir, "..");
	const child = startChild("owner", { OWNER_DATA_DIR: dataDir, HOME: home, DENO_DIR: join(home, "deno"), NO_COLOR: "1" }, prefix);
	cleanUps.push(async () => {
		await child.stop();
		// What a killed owner leaves running is adopted, to be stopped.
		if ((await processesOf(dataDir)).length > 0) process.kill(await postmasterOf(dataDir), "SIGQUIT");
		await gone(dataDir);
	});
	let code: number | null | undefined;
	void child.ended.then((ended) => {
		code = ended;
	});
	const line = await until(`the owner's start`, () => {
		if (code !== undefined) throw new Error(`The owner ended with ${code}: ${child.stderr()}`);
		return child.lines[0];
	});
	return { child, url: new Secret(String(line["url"])) };
}

async function query(url: Secret, text: string): Promise<Record<string, unknown>[]> {
	const sql = connect(url, 1, {});
	try {
		return (await sql.unsafe(text)).map((row) => Object.fromEntries(Object.entries(row)));
	} finally {
		await sql.end({ timeout: 1 });
	}
}

/** Where the cluster of a data directory is. */
async function homeOf(dataDir: string): Promise<string> {
	return (await readFile(join(dataDir, "postgres-location"), "utf8").catch(() => dataDir)).trim();
}

async function postmasterOf(dataDir: string): Promise<number> {
	return Number((await readFile(join(await homeOf(dataDir), "postgres", "postmaster.pid"), "utf8")).split("\n")[0]);
}

async function modeOf(path: string): Promise<string> {
	return ((await stat(path)).mode & 0o777).toString(8);
}

/** Programs whose working directory is the cluster: PostgreSQL's own, wherever /proc tells. */
async function processesOf(dataDir: string): Promise<string[]> {
	const cluster = await realpath(join(await homeOf(dataDir), "postgres")).catch(() => undefined);
	if (cluster === undefined) return [];
	const pids = (await readdir("/proc").catch(() => [])).filter((name) => /^\d+$/.test(name));
	const places = await Promise.all(pids.map((pid) => readlink(`/proc/${pid}/cwd`).catch(() => undefined)));
	return pids.filter((_, index) => places[index] === cluster);
}

async function gone(dataDir: string): Promise<void> {
	await until("the end of every process of the database", async () => (await processesOf(dataDir)).length === 0);
}

async function passwordFilesBelow(dir: string): Promise<string[]> {
	return (await readdir(dir)).filter((name) => /\.password$|\.new/.test(name));
}
