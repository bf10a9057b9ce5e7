/**
 * Builds the dashboard into dist/dashboard: `npm run build:dashboard`; with `--if-needed` only when the build is missing or older than its sources.
 * Each file carries a hash of its content in its name and lies there compressed as well; manifest.json, written last, says which are the page's.
 */
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { gzipSync } from "node:zlib";

const root = join(import.meta.dirname, "..");
const output = join(root, "dist", "dashboard");
/** What the page may weigh, compressed (S12). */
export const pageBytesMax = 60 * 1024;

/** Builds it when the last build is missing or older than what it is made of; returns the directory. */
export async function ensureDashboard(): Promise<string> {
	const built = await changedAtMs(join(output, "manifest.json"));
	const sources = (await readdir(join(root, "dashboard"), { recursive: true })).map((name) => join(root, "dashboard", name));
	const changes = await Promise.all([...sources, join(root, "package-lock.json")].map(changedAtMs));
	if (Math.max(...changes) >= built) await buildDashboard();
	return output;
}

/** Builds it; throws with the bundler's words. A server that runs from the old files goes on until the page is loaded again. */
export async function buildDashboard(): Promise<{ readonly zippedBytes: number }> {
	const result = await Bun.build({
		entrypoints: [join(root, "dashboard", "main.tsx"), join(root, "dashboard", "style", "main.css")],
		minify: true,
		target: "browser",
		format: "esm",
		define: { "process.env.NODE_ENV": '"production"' },
	});
	const files = await Promise.all(
		result.outputs.map(async (file) => ({ kind: file.path, bytes: new Uint8Array(await file.arrayBuffer()) })),
	);
	const named = new Map<string, Uint8Array>();
	for (const { kind, bytes } of files) {
		if (kind.endsWith(".js")) named.set(hashed("main", "js", bytes), bytes);
		if (kind.endsWith(".css")) named.set(hashed("style", "css", bytes), bytes);
	}
	const icon = new Uint8Array(await readFile(join(root, "dashboard", "icon.svg")));
	named.set(hashed("icon", "svg", icon), icon);
	await mkdir(output, { recursive: true });
	let zippedBytes = 0;
	for (const [name, bytes] of named) {
		const zipped = gzipSync(bytes, { level: 9 });
		zippedBytes += zipped.length;
		await writeFile(join(output, name), bytes);
		await writeFile(join(output, `${name}.gz`), zipped);
	}
	const nameOf = (end: string) => [...named.keys()].find((name) => name.endsWith(end));
	const manifest = JSON.stringify({ script: nameOf(".js"), style: nameOf(".css"), icon: nameOf(".svg"), zippedBytes });
	await writeFile(join(output, "manifest.json.new"), manifest);
	await rename(join(output, "manifest.json.new"), join(output, "manifest.json"));
	await removeOld(new Set([...named.keys()].flatMap((name) => [name, `${name}.gz`])));
	return { zippedBytes };
}

/** A page that is open may still ask for the build before: what is older than a day goes. */
async function removeOld(current: ReadonlySet<string>): Promise<void> {
	for (const name of await readdir(output)) {
		const path = join(output, name);
		if (name !== "manifest.json" && !current.has(name) && (await changedAtMs(path)) < Date.now() - 86_400_000) await rm(path);
	}
}

function hashed(name: string, end: string, bytes: Uint8Array): string {
	return `${name}-${createHash("sha256").update(bytes).digest("hex").slice(0, 12)}.${end}`;
}

async function changedAtMs(path: string): Promise<number> {
	return stat(path).then(
		({ mtimeMs }) => mtimeMs,
		() => 0,
	);
}

if (import.meta.main) {
	if (process.argv.includes("--if-needed")) {
		// A checkout that is not ours to write in, or a bundler that fails, is no reason to have no server.
		await ensureDashboard().catch((error: unknown) => {
			process.stderr.write(`Cannot build the dashboard, so the server starts with what is there: ${String(error)}\n`);
		});
	} else {
		const { zippedBytes } = await buildDashboard();
		process.stderr.write(`Built dist/dashboard: ${(zippedBytes / 1024).toFixed(1)} KB compressed\n`);
	}
}
