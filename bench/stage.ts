/** What the measurements run on: one PostgreSQL for both sides, a server of ours on either runtime, keys, and load from another process. */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import process from "node:process";
import { connect, openDb } from "../src/db/client.ts";
import { migrate } from "../src/db/migrate.ts";
import type { Db } from "../src/db/port.ts";
import { silentLog } from "../src/lib/log.ts";
import { Secret } from "../src/lib/secret.ts";
import { inDatabase, startTestServer } from "../tests/support/db.ts";
import { asAdmin, type Muster, startMuster } from "../tests/support/muster.ts";
import type { RuntimeName } from "../tests/support/runtimes.ts";
import type { EnrollLoad, LoadResult } from "./load/enroll-client.ts";

export type Progress = (text: string) => void;

/** A PostgreSQL with any number of migrated databases. */
export interface Postgres {
	/** A database of its own, migrated. */
	database(): Promise<BenchDatabase>;
	stop(): Promise<void>;
}

export interface BenchDatabase {
	readonly url: string;
	readonly db: Db;
	drop(): Promise<void>;
}

/** The embedded PostgreSQL as users get it (fsync on), the one of DATABASE_URL, or one that was opened already. */
export async function openPostgres(opened?: { readonly url: string; stop(): Promise<void> }): Promise<Postgres> {
	const server = opened ?? (await startTestServer());
	return {
		async database() {
			const name = `muster_bench_${randomBytes(6).toString("hex")}`;
			const admin = connect(new Secret(server.url), 1, {});
			await admin.unsafe(`create database ${name}`);
			const url = inDatabase(server.url, name);
			await migrate({ directUrl: new Secret(url), dir: join(import.meta.dirname, "..", "migrations"), log: silentLog });
			const db = openDb({ url: new Secret(url), directUrl: new Secret(url), log: silentLog });
			return {
				url,
				db,
				async drop() {
					await db.close(1_000);
					await admin.unsafe(`drop database if exists ${name} with (force)`);
					await admin.end();
				},
			};
		},
		stop: () => server.stop(),
	};
}

/**
 * A server as users start it, but for the log (one line for each enrollment is left out), and for how long a machine may be silent: those that are let in here
 * never send a heartbeat, and after 90 s the server would spend itself on telling that a hundred thousand of them are lost, while the limits beside it need not.
 */
export function openMuster(runtime: RuntimeName, databaseUrl: string, env: Readonly<Record<string, string>> = {}): Promise<Muster> {
	return startMuster({
		runtime,
		databaseUrl,
		env: {
			MUSTER_LOG_LEVEL: "error",
			MUSTER_STALE_SECONDS: "86400",
			MUSTER_SHARED_SECRET: "the shared secret of these measurements",
			...env,
		},
	});
}

export interface Keys {
	readonly siteCode: string;
	readonly siteId: string;
	readonly siteKey: EnrollLoad["credential"];
	readonly enrollmentKey: EnrollLoad["credential"];
	readonly hmac: EnrollLoad["credential"];
}

/** A site with a key of each kind that many machines may share. */
export async function makeKeys(server: Muster): Promise<Keys> {
	const siteCode = `s-${randomBytes(6).toString("hex")}`;
	const secret = randomBytes(20).toString("hex");
	const made = await asAdmin(
		server,
		`mutation ($code: String!, $key: CreateEnrollmentKeyInput!, $auto: ConfigureAutoEnrollmentInput!) {
			createSite(input: { code: $code }) { site { id } }
			rotateSiteKey(siteCode: $code) { secret }
			createEnrollmentKey(input: $key) { secret }
			configureAutoEnrollment(input: $auto) { autoEnrollment { enabled } } }`,
		{ code: siteCode, key: { name: "bench", siteCode, maxUses: 1_000_000 }, auto: { enabled: true, enrollmentSecret: secret } },
	);
	return {
		siteCode,
		siteId: String(made.createSite.site.id),
		siteKey: { siteKey: { siteCode, key: String(made.rotateSiteKey.secret) } },
		enrollmentKey: { enrollmentKey: String(made.createEnrollmentKey.secret) },
		hmac: { autoSecret: secret },
	};
}

/** Enrollments from a process of their own. */
export async function enrollments(server: Muster, load: Omit<EnrollLoad, "port">): Promise<LoadResult> {
	return child<LoadResult>("bench/load/enroll-client.ts", { ...load, port: Number(new URL(server.url).port) });
}

/** Runs a load generator of this folder and reads its result. */
export function child<T>(file: string, load: object): Promise<T> {
	const root = join(import.meta.dirname, "..");
	return new Promise((resolve, reject) => {
		const program = spawn(process.execPath, ["--no-env-file", join(root, file)], {
			env: { ...process.env, LOAD: JSON.stringify(load) },
			stdio: ["ignore", "pipe", "inherit"],
		});
		let text = "";
		program.stdout.setEncoding("utf8").on("data", (chunk: string) => {
			text += chunk;
		});
		program.once("exit", (code) => (code === 0 ? resolve(JSON.parse(text) as T) : reject(new Error(`${file} ended with ${code}`))));
	});
}
