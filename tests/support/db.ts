/** A database of its own for each test file, copied from one migrated template. Real PostgreSQL: a container, DATABASE_URL, or the embedded one. */
import { randomBytes } from "node:crypto";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { connect, openDb } from "../../src/db/client.ts";
import { startEmbedded } from "../../src/db/embedded.ts";
import { removeDataDir } from "../../src/db/embedded-files.ts";
import { migrate } from "../../src/db/migrate.ts";
import type { Db } from "../../src/db/port.ts";
import { silentLog } from "../../src/lib/log.ts";
import { Secret } from "../../src/lib/secret.ts";

/** The PostgreSQL that a test run uses. */
export interface TestServer {
	/** Names the database whose copies the tests work on. */
	readonly url: string;
	readonly kind: "container" | "given" | "embedded";
	stop(): Promise<void>;
}

/** One test file's database. */
export interface TestDatabase {
	readonly url: string;
	readonly db: Db;
	/** Closes the connections and drops the database. */
	drop(): Promise<void>;
}

const migrationsDir = join(import.meta.dirname, "..", "..", "migrations");
const template = "muster_template";

/** Starts the server that TEST_POSTGRES_IMAGE, DATABASE_URL or neither asks for, with a freshly migrated template. */
export async function startTestServer(): Promise<TestServer> {
	const { TEST_POSTGRES_IMAGE: image, DATABASE_URL: given } = process.env;
	const server = image !== undefined ? await container(image) : given !== undefined ? givenServer(given) : await embedded();
	const sql = connect(new Secret(server.url), 1, {});
	await sql.unsafe(`drop database if exists ${template}`);
	await sql.unsafe(`create database ${template}`);
	await sql.end();
	await migrate({ directUrl: new Secret(inDatabase(server.url, template)), dir: migrationsDir, log: silentLog });
	return server;
}

let own: Promise<TestServer> | undefined;
/** Databases that were made and not dropped. */
let inUse = 0;
let kept = false;

/** The run's server: the one the runner started, else one started here on first use and stopped by the preload. */
async function serverUrl(): Promise<string> {
	const started = process.env["TEST_DATABASE_URL"];
	if (started !== undefined) return started;
	own ??= startTestServer();
	return (await own).url;
}

/** Keeps a server that this process starts until `stopOwnServer`, across test files; else it goes with the last database. */
export function keepOwnServer(): void {
	kept = true;
}

/** Stops the server that this process started, if it did. */
export async function stopOwnServer(): Promise<void> {
	const stopping = own;
	own = undefined;
	await (await stopping)?.stop();
}

/** A fresh database with every migration applied. Call `drop` in afterAll. */
export async function testDatabase(): Promise<TestDatabase> {
	inUse++;
	const base = await serverUrl();
	const name = `muster_test_${randomBytes(6).toString("hex")}`;
	const admin = connect(new Secret(base), 1, {});
	await admin.unsafe(`create database ${name} template ${template}`);
	const url = inDatabase(base, name);
	const db = openDb({ url: new Secret(url), directUrl: new Secret(url), log: silentLog });
	return {
		url,
		db,
		async drop() {
			await db.close(1_000);
			await admin.unsafe(`drop database if exists ${name} with (force)`);
			await admin.end();
			inUse--;
			if (inUse === 0 && !kept) await stopOwnServer();
		},
	};
}

/** The same server, another database. */
export function inDatabase(url: string, database: string): string {
	const changed = new URL(url);
	changed.pathname = `/${database}`;
	return changed.href;
}

function givenServer(url: string): TestServer {
	return { url, kind: "given", stop: async () => {} };
}

async function embedded(): Promise<TestServer> {
	const dataDir = join(await mkdtemp(join(tmpdir(), "muster-test-")), "data");
	// PostgreSQL may run as another account, which must be able to get there.
	await chmod(join(dataDir, ".."), 0o755);
	const database = await startEmbedded({ dataDir, log: silentLog });
	return {
		url: database.url.reveal(),
		kind: "embedded",
		async stop() {
			await database.stop();
			await removeDataDir(dataDir);
			await rm(join(dataDir, ".."), { recursive: true, force: true });
		},
	};
}

async function container(image: string): Promise<TestServer> {
	process.env["TESTCONTAINERS_RYUK_DISABLED"] = "true";
	const { GenericContainer, Wait } = await import("testcontainers");
	const started = await new GenericContainer(image)
		.withEnvironment({ POSTGRES_PASSWORD: "test" })
		.withExposedPorts(5432)
		.withWaitStrategy(Wait.forListeningPorts())
		.start();
	const url = `postgres://postgres:test@${started.getHost()}:${started.getMappedPort(5432)}/postgres`;
	await answered(url);
	return { url, kind: "container", stop: async () => void (await started.stop()) };
}

/** The port is open before the server behind it is ready. */
async function answered(url: string): Promise<void> {
	for (let attempt = 0; ; attempt++) {
		const sql = connect(new Secret(url), 1, {});
		try {
			await sql`select 1`;
			return;
		} catch (error) {
			if (attempt >= 100) throw error;
			await new Promise((resolve) => setTimeout(resolve, 100));
		} finally {
			await sql.end({ timeout: 1 });
		}
	}
}
