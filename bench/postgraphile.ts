/**
 * PostGraphile 5 beside which enrolling is put: the same writes as one SQL function, behind a GraphQL mutation. It is no dependency of
 * Muster: npm installs it, pinned, into `.cache/bench` when it is first measured.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import type { BenchDatabase, Keys, Progress } from "./stage.ts";

const version = "5.1.5";
/** PostGraphile asks for Node 22; this one is installed beside it where the machine's own is older. */
const nodeVersion = "24.21.0";
const cache = join(import.meta.dirname, "..", ".cache", "bench");
const document = "mutation Enroll($input: EnrollInput!) { enroll(input: $input) { result } }";

/** A running PostGraphile. */
export interface PostGraphile {
	readonly port: number;
	/** What the load client asks of it. */
	readonly asks: { readonly document: string; readonly siteCode: string; readonly admitted: string };
	/** Workers that it has written. */
	written(): Promise<number>;
	stop(): Promise<void>;
}

/** Installs it when needed and starts it on a database of ours; undefined, with the reason as progress, where npm cannot install it. */
export async function openPostGraphile(database: BenchDatabase, keys: Keys, progress: Progress): Promise<PostGraphile | undefined> {
	const parts = await installed(progress);
	if (parts === undefined) return undefined;
	await database.db.sql.unsafe(readFileSync(join(import.meta.dirname, "postgraphile.sql"), "utf8"));
	const server = spawn(parts.node, [join(import.meta.dirname, "load", "postgraphile-server.mjs")], {
		env: { PATH: process.env["PATH"], NODE_ENV: "production", GRAPHILE_ENV: "production", PARTS: parts.place, DATABASE_URL: database.url },
		stdio: ["ignore", "pipe", "inherit"],
	});
	const ended = new Promise<never>((_, reject) => server.once("exit", (code) => reject(new Error(`PostGraphile ended with ${code}`))));
	const hello = new Promise<string>((resolve) => createInterface({ input: server.stdout }).once("line", resolve));
	const { port } = JSON.parse(await Promise.race([hello, ended])) as { port: number };
	return {
		port,
		asks: { document, siteCode: keys.siteCode, admitted: '{"data":{"enroll":{"result":"wrk_' },
		async written() {
			const [row] = await database.db
				.sql`select count(*)::integer as written from workers where id > ${`wrk_${"200000000000000".padStart(26, "0")}`} and id < 'wrk_1'`;
			return Number(row?.["written"]);
		},
		async stop() {
			server.kill("SIGKILL");
			await ended.catch(() => {});
		},
	};
}

/** Where it is, and the Node that runs it. */
async function installed(progress: Progress): Promise<{ readonly place: string; readonly node: string } | undefined> {
	const place = join(cache, `postgraphile-${version}`);
	const own = `node-${process.platform}-${process.arch}`;
	const systemMajor = Number(/^v(\d+)/.exec(spawnSync("node", ["--version"], { encoding: "utf8" }).stdout ?? "")?.[1] ?? 0);
	const needsNode = systemMajor < 22;
	const node = needsNode ? join(place, "node_modules", own, "bin", "node") : "node";
	if (existsSync(place) && (!needsNode || existsSync(node))) return { place, node };
	const making = `${place}.making`;
	for (const path of [place, making]) rmSync(path, { recursive: true, force: true });
	mkdirSync(making, { recursive: true });
	const packages = [`postgraphile@${version}`, ...(needsNode ? [`${own}@${nodeVersion}`] : [])];
	const code = await npmInstall(making, packages, progress);
	if (code === 0) {
		renameSync(making, place);
		return { place, node };
	}
	rmSync(making, { recursive: true, force: true });
	progress(`PostGraphile: left out, npm could not install ${packages.join(" and ")} (it ended with ${code})`);
	return undefined;
}

function npmInstall(place: string, packages: readonly string[], progress: Progress): Promise<number | string | null> {
	const options = ["--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--fetch-retries=1"];
	const npm = spawn("npm", ["install", "--prefix", place, ...options, ...packages], {
		stdio: ["ignore", "ignore", "inherit"],
		shell: process.platform === "win32",
	});
	const began = performance.now();
	const say = () => progress(`PostGraphile: npm installs ${packages.join(" and ")}, ${Math.round((performance.now() - began) / 1_000)} s`);
	say();
	const timer = setInterval(say, 5_000);
	return new Promise<number | string | null>((resolve) => {
		npm.once("error", (error) => resolve(error.message));
		npm.once("exit", resolve);
	}).finally(() => clearInterval(timer));
}
