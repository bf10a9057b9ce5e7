/**
 * Compiles the worker into one file: `npm run build:worker` for this platform into dist/muster-worker, `-- --all` for every platform into
 * dist/<target>/muster-worker[.exe] with dist/SHA256SUMS. Beside each lies the same in gzip, which the server sends to who takes it. Same sources, same Bun, same bytes, wherever the checkout lies (RUNTIME.md, 6), as long as
 * its node_modules lies in it and is no link: the map of sources holds paths relative to the checkout.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import { createGzip } from "node:zlib";
import { exitCodes } from "../src/protocol/codes.ts";
import { type Target, targets } from "../src/protocol/targets.ts";

const checkout = dirname(dirname(fileURLToPath(import.meta.url)));

/** Where a build goes; the last part of the path is part of the binary's bytes, so it is the same for all but Windows. */
export function outputPath(root: string, target: Target | undefined): string {
	const name = (target ?? `${process.platform}`).startsWith("win") ? "muster-worker.exe" : "muster-worker";
	return target === undefined ? join(root, "dist", name) : join(root, "dist", target, name);
}

/**
 * Builds one target (undefined: this platform) from the sources under `root`; the finished file appears at `output` at once, so that a worker which runs from
 * the old file and a build at the same time do no harm. Rejects with the compiler's own words.
 */
export async function buildWorker(root: string, target: Target | undefined, output: string): Promise<void> {
	await mkdir(dirname(output), { recursive: true });
	const staging = await mkdtemp(join(dirname(output), ".build-"));
	try {
		const staged = join(staging, target === "windows-x64" ? "muster-worker.exe" : outputName(output));
		await compile(root, target, staged);
		// Never the new worker beside the old one's compressed form.
		await rm(`${output}.gz`, { force: true });
		await rename(staged, output);
	} finally {
		await rm(staging, { recursive: true, force: true });
	}
}

/** Builds this platform's worker unless `dist/muster-worker` is newer than everything it is made of; returns its path. */
export async function ensureWorker(root: string): Promise<string> {
	const output = outputPath(root, undefined);
	const built = await changedAtMs(output);
	const sources = await Promise.all(["worker", "src/engine", "src/protocol", "src/lib"].map((folder) => filesIn(join(root, folder))));
	const changes = await Promise.all([...sources.flat(), join(root, "package.json"), join(root, "package-lock.json")].map(changedAtMs));
	if (Math.max(...changes) >= built) await announce(root, output, () => buildWorker(root, undefined, output));
	return output;
}

async function filesIn(folder: string): Promise<readonly string[]> {
	const names = await readdir(folder, { recursive: true });
	return names.filter((name) => name.endsWith(".ts")).map((name) => join(folder, name));
}

/** When a file last changed; 0 when there is none. */
async function changedAtMs(path: string): Promise<number> {
	return stat(path).then(
		({ mtimeMs }) => mtimeMs,
		() => 0,
	);
}

async function compile(root: string, target: Target | undefined, output: string): Promise<void> {
	const { version } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as { readonly version: string };
	const args = [
		"build",
		"--compile",
		"--minify",
		"--sourcemap",
		// Without these two a .env or bunfig.toml where the worker is started would run inside it.
		"--no-compile-autoload-dotenv",
		"--no-compile-autoload-bunfig",
		`--define=MUSTER_BUILD_VERSION=${JSON.stringify(version)}`,
		...(target === undefined ? [] : [`--target=bun-${target}`]),
		join("worker", "main.ts"),
		"--outfile",
		output,
	];
	const bun = join(checkout, "node_modules", "bun", "bin", "bun.exe");
	// The compiler too obeys these two; what it builds must not depend on who calls it.
	const { BUN_OPTIONS: _options, BUN_BE_BUN: _beBun, ...env } = process.env;
	const child = spawn(bun, args, { cwd: root, env, stdio: ["ignore", "pipe", "pipe"] });
	let said = "";
	for (const stream of [child.stdout, child.stderr]) stream.on("data", (text: Buffer) => (said += text.toString()));
	const status = await new Promise<number | null>((resolve, reject) => {
		child.once("error", reject);
		child.once("close", resolve);
	});
	// What it says about its progress is no reason.
	const why = said.replace(/^ *\[\d+ms\].*\n/gm, "").trim();
	if (status !== 0) throw new Error(why === "" ? `the compiler ended with ${status}` : why);
}

/** Puts `<output>.gz` beside a worker, for the server to send. */
export async function compressWorker(output: string): Promise<void> {
	const staging = await mkdtemp(join(dirname(output), ".build-"));
	try {
		const staged = join(staging, "gz");
		// Level 1: 55 MB of 110 in 1.7 s; level 6 spares 4 MB more and takes 5 s.
		await pipeline(createReadStream(output), createGzip({ level: 1 }), createWriteStream(staged));
		await rename(staged, `${output}.gz`);
	} finally {
		await rm(staging, { recursive: true, force: true });
	}
}

/** SHA-256 of a file, lower-case hex. */
export async function fileSha256(path: string): Promise<string> {
	const hash = createHash("sha256");
	for await (const chunk of createReadStream(path)) hash.update(chunk);
	return hash.digest("hex");
}

async function buildAll(root: string): Promise<number> {
	const sums: string[] = [];
	const failed: Target[] = [];
	for (const target of targets) {
		const output = outputPath(root, target);
		try {
			await announce(root, output, () => buildWorker(root, target, output));
			await compressWorker(output);
			sums.push(`${await fileSha256(output)}  ${relative(join(root, "dist"), output)}\n`);
		} catch (error) {
			failed.push(target);
			say(`Cannot build ${target}: ${error instanceof Error ? error.message : String(error)}`);
		}
	}
	await writeFile(join(root, "dist", "SHA256SUMS"), sums.join(""));
	if (failed.length === 0) return exitCodes.ok;
	say(`Not built: ${failed.join(", ")}; their runtime is fetched from the npm registry, check the network and build again`);
	return exitCodes.unavailable;
}

async function announce(root: string, output: string, build: () => Promise<void>): Promise<void> {
	const startedMs = performance.now();
	say(`Building ${relative(root, output)} …`);
	await build();
	const { size } = await stat(output);
	say(`Built ${relative(root, output)}: ${(size / 1e6).toFixed(1)} MB in ${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
}

async function main(args: readonly string[]): Promise<number> {
	if (args.length === 1 && args[0] === "--all") return buildAll(checkout);
	if (args.length > 0) {
		say(`Unknown argument "${args.join(" ")}": give --all, or nothing for this platform`);
		return exitCodes.usage;
	}
	const output = outputPath(checkout, undefined);
	try {
		await announce(checkout, output, () => buildWorker(checkout, undefined, output));
		await compressWorker(output);
		return exitCodes.ok;
	} catch (error) {
		say(`Cannot build the worker: ${error instanceof Error ? error.message : String(error)}`);
		return exitCodes.software;
	}
}

function outputName(output: string): string {
	return output.endsWith(".exe") ? "muster-worker.exe" : "muster-worker";
}

function say(line: string): void {
	process.stderr.write(`${line}\n`);
}

if (import.meta.main) process.exit(await main(process.argv.slice(2)));
