/**
 * Makes node_modules match package-lock.json, once: needs Node 20 and npm only, runs no package's install script.
 * The two runtimes come as npm packages whose binary is unpacked here.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const windows = process.platform === "win32";

/** Installs when the stamp in node_modules differs from the lockfile; says so on stderr; exits 69 when npm cannot. */
export function ensureInstalled(root) {
	const stamp = join(root, "node_modules", ".muster-installed");
	const wanted = createHash("sha256")
		.update(readFileSync(join(root, "package-lock.json")))
		.digest("hex");
	if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return;
	const started = Date.now();
	// Not `npm ci`: it insists on lock entries for the other platforms' optional binaries, which not every registry mirror carries.
	process.stderr.write("Installing dependencies with npm (first run, about a minute) …\n");
	run("npm", ["install", "--no-save", "--loglevel=error", "--no-audit", "--no-fund"], root);
	run(process.execPath, [join("node_modules", "bun", "install.js")], root);
	run(process.execPath, [join("node_modules", "deno", "install.cjs")], root);
	writeFileSync(stamp, wanted);
	process.stderr.write(`Installed in ${Math.round((Date.now() - started) / 1000)} s\n`);
}

/** Path of the runtime's own binary: no wrapper process, so signals reach it. */
export function runtimeBinary(root, name) {
	const exe = windows ? ".exe" : "";
	return name === "bun" ? join(root, "node_modules", "bun", "bin", "bun.exe") : join(root, "node_modules", "deno", `deno${exe}`);
}

function run(command, args, cwd) {
	const result = spawnSync(command, args, { cwd, stdio: ["ignore", 2, 2], shell: windows });
	if (result.status === 0) return;
	process.stderr.write(
		`Cannot install: "${command} ${args.join(" ")}" ended with ${result.status ?? result.error?.message}; run it by hand to see why\n`,
	);
	process.exit(69);
}
