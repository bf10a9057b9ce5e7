import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import * as v from "valibot";
import type { Log } from "../lib/log.ts";
import type { Secret } from "../lib/secret.ts";
import { openConnection } from "./client.ts";
import type { Sql } from "./port.ts";
import { parseRows } from "./rows.ts";

/** One migration file. */
export interface Migration {
	readonly number: number;
	readonly name: string;
	readonly sql: string;
	readonly sha256: string;
	/** Header `-- no-transaction`: its statements run one by one, for `create index concurrently`. */
	readonly inTransaction: boolean;
}

/** What the ledger says was applied. */
export interface Applied {
	readonly number: number;
	readonly name: string;
	readonly sha256: string;
}

/** The migrations cannot be applied; the message names the file and the remedy. */
export class MigrationError extends Error {
	override readonly name = "MigrationError";
}

/** Any number that nothing else on the database locks: "muster" in ASCII, cut to 32 bits. */
const lockKey = 0x6d757374;
const lockPollMs = 100;
/** How often a file is tried again that other transactions kept from its tables: they go on in between. */
const retriesMax = 5;
/** A deadlock, and a lock that was not to be had in time. */
const inTheWay = new Set(["40P01", "55P03"]);

/** Reads `NNNN-name.sql` files; refuses names of another form, gaps and doubles. */
export async function readMigrations(dir: string): Promise<Migration[]> {
	const files = (await readdir(dir)).filter((file) => /^\d.*\.sql$/.test(file)).sort();
	const migrations: Migration[] = [];
	for (const [index, file] of files.entries()) {
		const match = /^(\d{4})-([a-z0-9-]+)\.sql$/.exec(file);
		if (match === null) throw new MigrationError(`Migration file "${file}" must be named NNNN-lower-case-name.sql`);
		const number = Number(match[1]);
		if (number !== index + 1)
			throw new MigrationError(
				`Migration file "${file}" should have number ${index + 1}: numbers follow one another without gap or double`,
			);
		const sql = await readFile(join(dir, file), "utf8");
		migrations.push({
			number,
			name: match[2] ?? "",
			sql,
			sha256: createHash("sha256").update(sql.replaceAll("\r\n", "\n")).digest("hex"),
			inTransaction: !/^\s*--\s*no-transaction\b/i.test(sql),
		});
	}
	return migrations;
}

/** The migrations still to be applied. Throws when what was applied is not a beginning of what there is: drift, a gap, or a newer database. Pure. */
export function pending(migrations: readonly Migration[], applied: readonly Applied[]): readonly Migration[] {
	for (const [index, done] of [...applied].sort((left, right) => left.number - right.number).entries()) {
		const file = migrations[index];
		if (done.number !== index + 1) throw new MigrationError(`The database's ledger lacks migration ${index + 1}: restore it from a backup`);
		if (file === undefined) {
			throw new MigrationError(
				`The database has migration ${done.number} (${done.name}), this program knows ${migrations.length}: run the newer program, or restore an older backup`,
			);
		}
		if (file.sha256 !== done.sha256) {
			throw new MigrationError(
				`Migration ${file.number}-${file.name}.sql was changed after it was applied: restore the file, and write a new migration instead`,
			);
		}
	}
	return migrations.slice(applied.length);
}

/**
 * Brings the database to the newest migration, under an advisory lock: of several servers that start at once one migrates, the others wait and
 * find it done. Each file is one transaction with its ledger row, unless it says otherwise. Returns how many were applied.
 */
export async function migrate(options: { readonly directUrl: Secret; readonly dir: string; readonly log: Log }): Promise<number> {
	const migrations = await readMigrations(options.dir);
	// One connection: the session lock, and everything done under it.
	const { sql, close } = await openConnection(options.directUrl, { applicationName: "muster-migrate", statementTimeoutMs: 0 });
	try {
		// Polled, not waited for: a waiter inside pg_advisory_lock deadlocks with `create index concurrently` of the one who has it.
		while (!(await sql`select pg_try_advisory_lock(${lockKey}) as locked`)[0]?.["locked"]) await wait(lockPollMs);
		await sql`create table if not exists muster_migrations (
			number integer primary key, name text not null, sha256 text not null, applied_at timestamptz not null default now())`;
		const schema = v.object({ number: v.number(), name: v.string(), sha256: v.string() });
		const applied = parseRows(schema, await sql`select number, name, sha256 from muster_migrations order by number limit 10000`);
		const todo = pending(migrations, applied);
		for (const migration of todo) {
			await applyOne(sql, migration);
			options.log.info("db.migrated", { number: migration.number, name: migration.name });
		}
		return todo.length;
	} finally {
		close();
	}
}

async function applyOne(sql: Sql, migration: Migration, retries = 0): Promise<void> {
	const { number, name, sql: text, sha256, inTransaction } = migration;
	try {
		if (inTransaction) {
			await sql.unsafe("begin; set local lock_timeout = '10s'");
			await sql.unsafe(text);
			await sql`insert into muster_migrations (number, name, sha256) values (${number}, ${name}, ${sha256})`;
			await sql.unsafe("commit");
		} else {
			for (const statement of statements(text)) await sql.unsafe(statement);
			await sql`insert into muster_migrations (number, name, sha256) values (${number}, ${name}, ${sha256})`;
		}
	} catch (error) {
		if (inTransaction && error instanceof Error && "code" in error && inTheWay.has(String(error.code)) && retries < retriesMax) {
			await sql.unsafe("rollback");
			return applyOne(sql, migration, retries + 1);
		}
		const why = error instanceof Error ? error.message : String(error);
		throw new MigrationError(`Cannot apply migration ${String(number).padStart(4, "0")}-${name}.sql: ${why}`, { cause: error });
	}
}

/** Statements end with a semicolon at the end of a line; such files hold no function bodies (migrations/README.md). */
function statements(text: string): string[] {
	return text
		.split(/;[ \t]*(?:\r?\n|$)/)
		.map((statement) => statement.replace(/^\s*--.*$/gm, "").trim())
		.filter((statement) => statement !== "");
}
