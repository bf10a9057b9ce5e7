import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { removeDataDir } from "../../src/db/embedded-files.ts";
import { autoEnrollmentMac } from "../../src/protocol/auto-enroll.ts";
import { type TestDatabase, testDatabase } from "../support/db.ts";
import { asAdmin, type Muster, startMuster, temporaryDataDir } from "../support/muster.ts";
import { hex } from "../support/pipeline.ts";
import { commandFor, type RuntimeName, runtimeNames } from "../support/runtimes.ts";
import { enroll } from "./support.ts";

const secret = "the auto-enrollment secret of these tests";
const [k1, k2] = [1, 2].map((fill) => Buffer.alloc(32, fill).toString("base64")) as [string, string];

/** Enrolls a machine of its own by HMAC; the shared API key it is handed. */
async function enrolled(server: Muster): Promise<string> {
	const facts = { enrollmentId: hex(16), name: "auto", machineUid: `uid-${hex(12)}` };
	const [nonce, timestamp] = [hex(16), new Date().toISOString()];
	const mac = autoEnrollmentMac(secret, { ...facts, tenant: "default", requestedId: null, nonce, timestamp });
	const { enrollmentId, ...worker } = facts;
	const { data } = await enroll(server, { enrollmentId, worker, credential: { autoEnrollment: { nonce, timestamp, mac } } });
	expect(data.enroll).toMatchObject({ outcome: "NEW" });
	return data.enroll.apiKey;
}

function turnOn(server: Muster): Promise<unknown> {
	return asAdmin(
		server,
		"mutation ($input: ConfigureAutoEnrollmentInput!) { configureAutoEnrollment(input: $input) { autoEnrollment { enabled } } }",
		{
			input: { enabled: true, enrollmentSecret: secret },
		},
	);
}

/** Runs the command; its exit code and what it said. */
function rotate(
	runtime: RuntimeName,
	env: Readonly<Record<string, string>>,
): Promise<{ readonly code: number | null; readonly said: string }> {
	const [command, ...args] = commandFor(runtime, "src/main.ts", ["rotate-master-key"]);
	const child = spawn(command, args, { env: { PATH: process.env["PATH"] ?? "", HOME: process.env["HOME"] ?? "/", ...env } });
	let said = "";
	const hear = (text: string) => {
		said += text;
	};
	for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", hear);
	return new Promise((resolve) => child.once("close", (code) => resolve({ code, said })));
}

describe.each(runtimeNames)("the master key on %s (A2)", (runtime) => {
	const opened: { database?: TestDatabase; dataDir?: string } = {};
	beforeAll(async () => {
		opened.database = await testDatabase();
	});
	afterAll(() => opened.database?.drop());

	test("rotated by the command, every sealed secret still opens, and the former key is needed no more", async () => {
		const databaseUrl = opened.database?.url ?? "";
		const before = await startMuster({ runtime, databaseUrl, env: { MUSTER_MASTER_KEY: k1 } });
		await turnOn(before);
		const apiKey = await enrolled(before);
		await before.stop();

		const denied = await startMuster({ runtime, databaseUrl, env: { MUSTER_MASTER_KEY: k2 } }).then(
			(server) => server.stop().then(() => "started"),
			(error: unknown) => String(error),
		);
		expect(denied).toContain("MUSTER_MASTER_KEY_FORMER");

		const between = await startMuster({ runtime, databaseUrl, env: { MUSTER_MASTER_KEY: k2, MUSTER_MASTER_KEY_FORMER: k1 } });
		expect(await enrolled(between)).toBe(apiKey);
		const env = { DATABASE_URL: databaseUrl, MUSTER_DATA_DIR: between.dataDir, MUSTER_MASTER_KEY: k2, MUSTER_MASTER_KEY_FORMER: k1 };
		const first = await rotate(runtime, env);
		expect([first.code, first.said]).toEqual([0, expect.stringContaining("2 secret(s) sealed anew")]);
		expect(await enrolled(between)).toBe(apiKey);
		expect((await rotate(runtime, env)).said).toContain("0 secret(s) sealed anew");
		await between.stop();

		const after = await startMuster({ runtime, databaseUrl, env: { MUSTER_MASTER_KEY: k2 } });
		expect(await enrolled(after)).toBe(apiKey);
		await after.stop();
	}, 120_000);

	test("a generated key is replaced in the data directory, and the server starts with it", async () => {
		const dataDir = await temporaryDataDir();
		const env = { MUSTER_MASTER_KEY: "" };
		const before = await startMuster({ runtime, dataDir, env });
		await turnOn(before);
		const apiKey = await enrolled(before);
		const running = await rotate(runtime, { MUSTER_DATA_DIR: dataDir });
		expect(running.code).not.toBe(0);
		await before.stop();

		expect(await rotate(runtime, { MUSTER_DATA_DIR: dataDir })).toEqual({
			code: 0,
			said: expect.stringContaining("2 secret(s) sealed anew"),
		});
		expect(readdirSync(dataDir)).not.toContain("master-key-former");
		const after = await startMuster({ runtime, dataDir, env });
		expect(await enrolled(after)).toBe(apiKey);
		await after.stop();
		await removeDataDir(dataDir);
		rmSync(join(dirname(dataDir)), { recursive: true, force: true });
	}, 120_000);
});
