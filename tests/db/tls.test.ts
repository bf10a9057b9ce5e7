import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmod, chown, copyFile, mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { connect } from "../../src/db/client.ts";
import { startEmbedded } from "../../src/db/embedded.ts";
import { postgresBinaries } from "../../src/db/embedded-binaries.ts";
import { clusterPlace, postgresAccount, removeDataDir } from "../../src/db/embedded-files.ts";
import { programs, stopPostmaster } from "../../src/db/embedded-process.ts";
import { silentLog } from "../../src/lib/log.ts";
import { Secret } from "../../src/lib/secret.ts";

const withoutOpenssl = spawnSync("openssl", ["version"]).status !== 0;
const skip = withoutOpenssl ? "needs the openssl command" : false;
let home = "";
let authority = "";
let port = 0;
let password = "";
let stop: () => Promise<void> = async () => {};

/** An embedded PostgreSQL, stopped and started again with TLS on the loopback. */
before(async () => {
	if (withoutOpenssl) return;
	home = await mkdtemp(join(tmpdir(), "muster-test-"));
	await chmod(home, 0o755);
	const dataDir = join(home, "data");
	const database = await startEmbedded({ dataDir, log: silentLog });
	password = new URL(database.url.reveal()).password;
	await database.stop();
	const account = await postgresAccount();
	const place = await clusterPlace(dataDir, account);
	authority = join(home, "server.crt");
	certify(home);
	for (const name of ["server.crt", "server.key"]) {
		const file = join(place.cluster, name);
		await copyFile(join(home, name), file);
		await chmod(file, 0o600);
		if (account !== undefined) await chown(file, account.uid, account.gid);
	}
	const run = programs(join(await postgresBinaries(dataDir, account), "bin"), account, place);
	port = await freePort();
	const flags = `-c listen_addresses=127.0.0.1 -c port=${port} -c ssl=on -c unix_socket_directories=''`;
	await run("pg_ctl", ["start", "-w", "-D", place.cluster, "-l", place.log, "-o", flags]);
	stop = async () => {
		await stopPostmaster(place, run);
		await removeDataDir(dataDir);
		await rm(home, { recursive: true, force: true });
	};
});
after(() => stop());

test("sslmode prefer and require encrypt, disable does not", { skip }, async () => {
	assert.deepEqual(await encrypted("sslmode=prefer"), { ssl: true });
	assert.deepEqual(await encrypted("sslmode=require"), { ssl: true });
	assert.deepEqual(await encrypted("sslmode=disable"), { ssl: false });
});

test("sslmode verify-full takes the server that its authority vouches for, large answers included", { skip }, async () => {
	const root = `sslrootcert=${encodeURIComponent(authority)}`;
	assert.deepEqual(await encrypted(`sslmode=verify-full&${root}`), { ssl: true });
	assert.deepEqual(await encrypted(`sslmode=verify-ca&${root}`, "127.0.0.1"), { ssl: true });
	const sql = connect(address(`sslmode=verify-full&${root}`), 2, {});
	try {
		const sizes = await Promise.all([3_000_000, 1, 3_000_001].map((size) => sql`select repeat('x', ${size}::integer) as text`));
		assert.deepEqual(
			sizes.map((rows) => String(rows[0]?.["text"]).length),
			[3_000_000, 1, 3_000_001],
		);
	} finally {
		await sql.end({ timeout: 1 });
	}
});

test("sslmode verify-full refuses a server that nobody vouches for, and one of another name", { skip }, async () => {
	await assert.rejects(encrypted("sslmode=verify-full"), { name: "LinkError" });
	// The certificate is for localhost alone.
	await assert.rejects(encrypted(`sslmode=verify-full&sslrootcert=${encodeURIComponent(authority)}`, "127.0.0.1"), { name: "LinkError" });
});

function address(query: string, host = "localhost"): Secret {
	return new Secret(`postgres://muster:${password}@${host}:${port}/muster?${query}`);
}

async function encrypted(query: string, host?: string): Promise<Record<string, unknown>> {
	const sql = connect(address(query, host), 1, {});
	try {
		const [row] = await sql`select ssl from pg_stat_ssl where pid = pg_backend_pid()`;
		return { ...row };
	} finally {
		await sql.end({ timeout: 1 });
	}
}

function certify(dir: string): void {
	const args = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost";
	const extensions = ["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:TRUE"];
	const made = spawnSync("openssl", [
		...args.split(" "),
		...extensions,
		"-keyout",
		join(dir, "server.key"),
		"-out",
		join(dir, "server.crt"),
	]);
	assert.equal(made.status, 0, String(made.stderr));
}

function freePort(): Promise<number> {
	return new Promise((resolve, reject) => {
		const probe = createServer();
		probe.on("error", reject);
		probe.listen(0, "127.0.0.1", () => {
			const found = probe.address();
			probe.close(() => resolve(typeof found === "object" && found !== null ? found.port : 0));
		});
	});
}
