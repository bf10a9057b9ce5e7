/** Where webhooks may lead: what is behind the server stays out of reach, and TLS receivers are who they say they are. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { asAdmin, startMuster } from "../support/muster.ts";
import { rowCount } from "../support/pipeline.ts";
import { until } from "../support/until.ts";
import { allowed, ask, create, createMutation, masterKey, newestIs, raiseAlert, show, testMutation } from "../unit/webhooks/api.ts";
import { openReceiver, type Receiver, verified } from "../unit/webhooks/receiver.ts";
import { type Bench, onEachRuntime } from "./support.ts";

let receiver: Receiver;
beforeAll(async () => {
	receiver = await openReceiver();
});
afterAll(() => receiver.close());

onEachRuntime(
	"webhooks where private addresses are not allowed, as by default",
	(bench: Bench, runtime) => {
		describe("nobody makes the server talk to what is behind it", () => {
			test.each([
				["http://127.0.0.1:1/", "public (loopback)"],
				["http://2130706433/", "public (loopback)"],
				["http://0x7f.1/", "public (loopback)"],
				["http://[::1]/", "public (loopback)"],
				["http://[::ffff:10.0.0.1]/", "public (private)"],
				["http://10.1.2.3/", "public (private)"],
				["http://169.254.169.254/latest/meta-data", "public (linkLocal)"],
				// What a name leads to stays unsaid: the answer must not map the network inside.
				["http://localhost:7490/", "public"],
			])("%s is refused when it is created", async (url, range) => {
				const { errors } = await ask(bench.server, bench.server.adminToken, createMutation, { input: { url } });
				expect(errors[0]).toMatchObject({
					message: expect.stringContaining(`not ${range}: set MUSTER_WEBHOOK_PRIVATE_ADDRESSES=on`),
					extensions: { code: "BAD_USER_INPUT", fields: ["url"] },
				});
				expect(await rowCount(bench.database.db, "webhooks")).toBe(0);
			});

			test("nor when it is sent: webhooks made while they were allowed, by address and by name", async () => {
				const lenient = await startMuster({ runtime, databaseUrl: bench.database.url, env: allowed });
				const paths = [receiver.path(), receiver.path()] as const;
				const hooks = [
					await create(lenient, receiver.urlOf(paths[0])),
					await create(lenient, `http://localhost:${receiver.port}${paths[1]}`),
				];
				await lenient.stop();
				await raiseAlert(bench.server);
				for (const { id } of hooks) {
					const webhook = await until("the attempt has failed", async () => {
						const found = await show(bench.server, id);
						return found.lastError !== null && found;
					});
					expect(webhook.lastError).toMatch(/not public(?: \(loopback\))?: set/);
					expect(webhook.recentDeliveries[0]).toMatchObject({ state: "PENDING", attempts: 1, lastStatus: null });
				}
				expect(paths.flatMap((path) => receiver.received(path))).toEqual([]);
			});
		});
	},
	masterKey,
);

describe.skipIf(spawnSync("openssl", ["version"]).status !== 0)("over TLS", () => {
	const home = mkdtempSync(join(tmpdir(), "muster-webhook-tls-"));
	const [keyFile, certFile] = [join(home, "key.pem"), join(home, "cert.pem")];
	const name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
	spawnSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", keyFile, "-out", certFile, "-days", "2", ...name]);
	let secure: Receiver;
	beforeAll(async () => {
		secure = await openReceiver({ key: readFileSync(keyFile, "utf8"), cert: readFileSync(certFile, "utf8") });
	});
	afterAll(async () => {
		await secure.close();
		rmSync(home, { recursive: true, force: true });
	});

	onEachRuntime(
		"a trusted receiver",
		(bench: Bench) => {
			test("gets its message under its own name, though the connection goes to an address that was resolved before", async () => {
				const path = secure.path();
				const { id, secret } = await create(bench.server, `https://localhost:${secure.port}${path}`);
				await asAdmin(bench.server, testMutation, { id });
				await newestIs(bench.server, id, "DELIVERED");
				const [got] = secure.received(path);
				if (got === undefined) throw new Error("Nothing came");
				expect(verified(secret, got).type).toBe("alert.test");
				expect([got.serverName, got.headers.host]).toEqual(["localhost", `localhost:${secure.port}`]);
			});

			test("under a name that its certificate does not hold it gets nothing", async () => {
				const path = secure.path();
				const { id } = await create(bench.server, secure.urlOf(path));
				await asAdmin(bench.server, testMutation, { id });
				const error = await until("the attempt has failed", async () => (await show(bench.server, id)).lastError ?? undefined);
				expect(error).toContain("ALTNAME");
				expect(secure.received(path)).toEqual([]);
			});
		},
		{ ...allowed, NODE_EXTRA_CA_CERTS: certFile, DENO_CERT: certFile },
	);

	onEachRuntime(
		"a receiver with a certificate nobody vouches for",
		(bench: Bench) => {
			test("gets nothing", async () => {
				const path = secure.path();
				const { id } = await create(bench.server, `https://localhost:${secure.port}${path}`);
				await asAdmin(bench.server, testMutation, { id });
				const error = await until("the attempt has failed", async () => (await show(bench.server, id)).lastError ?? undefined);
				expect(error).toMatch(/SELF_SIGNED|certificate/i);
				expect(secure.received(path)).toEqual([]);
			});
		},
		allowed,
	);
});
