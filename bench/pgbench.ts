/** The limit beside which enrolling is put: PostgreSQL's own load generator, one transaction for each enrollment (enroll.sql), on one key. */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { percentile } from "./figures.ts";
import type { BenchDatabase, Keys } from "./stage.ts";

export interface PgbenchResult {
	readonly clients: number;
	readonly perSecond: number;
	/** Milliseconds a transaction. */
	readonly p50: number;
	readonly p99: number;
	/** From the start to the last commit. */
	readonly seconds: number;
}

const places = [
	"pgbench",
	"/usr/lib/postgresql/18/bin/pgbench",
	"/usr/lib/postgresql/17/bin/pgbench",
	"/usr/lib/postgresql/15/bin/pgbench",
];
let runs = 0;

/** Where pgbench is; undefined when it is not installed (Debian: postgresql-contrib or postgresql-15). */
export function findPgbench(): string | undefined {
	return places.find((path) => (path.startsWith("/") ? existsSync(path) : spawnSync(path, ["--version"]).status === 0));
}

/** Runs it for so many seconds, or so many transactions in all, with the keys and tables of a database of ours. */
export async function pgbench(
	program: string,
	database: BenchDatabase,
	keys: Keys,
	clients: number,
	size: { readonly seconds: number } | { readonly transactions: number },
	environment: Readonly<Record<string, string>> = {},
): Promise<PgbenchResult> {
	const [row] = await database.db
		.sql`select k.id as key_id, k.tenant_id from keys k where k.site_id = ${keys.siteId} and kind = 'site' and active`;
	if (row === undefined) throw new Error("The site has no key");
	const url = new URL(database.url);
	const logs = mkdtempSync(join(tmpdir(), "muster-pgbench-"));
	const length = "seconds" in size ? ["-T", String(size.seconds)] : ["-t", String(Math.ceil(size.transactions / clients))];
	const variables = { n: "0", run: String(++runs), key_id: row["keyId"], tenant_id: row["tenantId"], site_id: keys.siteId };
	const options = `-n -M prepared -c ${clients} -j ${Math.min(2, clients)} -f ${join(import.meta.dirname, "enroll.sql")}`.split(" ");
	const place = ["-h", url.searchParams.get("host") ?? url.hostname, "-p", url.port || "5432", "-U", url.username, url.pathname.slice(1)];
	const defined = Object.entries(variables).flatMap(([name, value]) => ["-D", `${name}=${String(value)}`]);
	const args = [...options, ...length, "--log", `--log-prefix=${join(logs, "log")}`, ...defined, ...place];
	try {
		const output = await run(program, args, { ...process.env, ...environment, PGPASSWORD: decodeURIComponent(url.password) });
		const perSecond = Number(/tps = ([\d.]+)/.exec(output)?.[1] ?? 0);
		const done = Number(/transactions actually processed: (\d+)/.exec(output)?.[1]);
		const latencies = readdirSync(logs)
			.flatMap((file) => readFileSync(join(logs, file), "utf8").trim().split("\n"))
			.map((line) => Number(line.split(" ")[2]) / 1_000)
			.sort((left, right) => left - right);
		return { clients, perSecond, p50: percentile(latencies, 0.5), p99: percentile(latencies, 0.99), seconds: done / perSecond };
	} finally {
		rmSync(logs, { recursive: true, force: true });
	}
}

function run(program: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<string> {
	return new Promise((resolve, reject) => {
		const child = spawn(program, args, { env, stdio: ["ignore", "pipe", "pipe"] });
		let text = "";
		const take = (chunk: Buffer) => {
			text += chunk.toString();
		};
		child.stdout.on("data", take);
		child.stderr.on("data", take);
		child.once("error", reject);
		child.once("exit", (code) => (code === 0 ? resolve(text) : reject(new Error(`pgbench ended with ${code}: ${text.slice(-2_000)}`))));
	});
}
