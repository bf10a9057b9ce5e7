/**
 * What the client expects of Portainer's API. Asked of the real one that MUSTER_PORTAINER_URL and MUSTER_PORTAINER_API_KEY name, where they are set; else of the fake,
 * which is held to the same.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openEngine } from "../../src/engine/engine.ts";
import { type PortainerClient, portainerClient, PortainerError, type PortainerPlace } from "../../src/fuse/portainer-client.ts";
import { portainerTransport } from "../../src/fuse/portainer-transport.ts";
import { Secret } from "../../src/lib/secret.ts";
import { fakeAgent, type FakePortainer, fakePortainer } from "../support/fakes/portainer.ts";
import { hex } from "../support/pipeline.ts";
import { until } from "../support/until.ts";

const { MUSTER_PORTAINER_URL: realUrl, MUSTER_PORTAINER_API_KEY: realKey, MUSTER_PORTAINER_EDGE_URL: realEdgeUrl } = process.env;
const isReal = realUrl !== undefined && realKey !== undefined;
const never = new AbortController().signal;

async function failure(work: Promise<unknown>): Promise<PortainerError> {
	try {
		await work;
	} catch (error) {
		if (error instanceof PortainerError) return error;
		throw error;
	}
	throw new Error("It was not refused");
}

describe(isReal ? "a real Portainer" : "the fake Portainer (a real one: set MUSTER_PORTAINER_URL and MUSTER_PORTAINER_API_KEY)", () => {
	let fake: FakePortainer | undefined;
	let place: PortainerPlace;
	let client: PortainerClient;
	const names: string[] = [];
	const newName = () => {
		const name = `muster-test-${hex(6)}`;
		names.push(name);
		return name;
	};
	beforeAll(async () => {
		fake = isReal ? undefined : await fakePortainer();
		const url = realUrl ?? fake?.url ?? "";
		const apiKey = new Secret(realKey ?? fake?.apiKey ?? "");
		place = { url, edgeUrl: realEdgeUrl ?? url, apiKey, agentImage: undefined, insecureTls: isReal && url.startsWith("https:") };
		client = portainerClient(place);
	});
	afterAll(async () => {
		for (const name of names) {
			const left = await client.findEnvironment(name, never);
			if (left !== undefined) await client.remove(left.Id, never);
		}
		await fake?.close();
	});

	test("it says its version, which the agent's image is to have", async () => {
		expect(await client.version(never)).toMatch(/^\d+\.\d+\.\d+/);
	});

	test("an environment that is made has a join key and was never checked in; made again it is the same one, by its whole name", async () => {
		const name = newName();
		const made = await client.register(name, never);
		expect(made).toMatchObject({ Name: name, LastCheckInDate: 0, Heartbeat: false });
		expect(Buffer.from(made.EdgeKey, "base64").toString("utf8")).toEndWith(`|${made.Id}`);
		const again = await client.register(name, never);
		expect([again.Id, again.EdgeKey]).toEqual([made.Id, made.EdgeKey]);
		const longer = await client.register(`${name}-longer`, never);
		names.push(`${name}-longer`);
		expect((await client.findEnvironment(name, never))?.Id).toBe(made.Id);
		expect(longer.Id).not.toBe(made.Id);
	});

	test("one that is removed is gone, and removing it again is well", async () => {
		const { Id } = await client.register(newName(), never);
		await client.remove(Id, never);
		expect(await client.environment(Id, never)).toBeUndefined();
		await client.remove(Id, never);
	});

	test("an agent's poll shows as its check-in, and a removed environment's agent is turned away", async () => {
		const made = await client.register(newName(), never);
		const agent = fakeAgent({ edgeKey: made.EdgeKey, edgeId: made.EdgeID === "" ? hex(16) : made.EdgeID });
		try {
			await until("the check-in", async () => {
				const now = await client.environment(made.Id, never);
				return now !== undefined && now.LastCheckInDate > 0 && now.Heartbeat;
			});
			await client.remove(made.Id, never);
			await until("the refusal", () => agent.lastStatus() === 403);
		} finally {
			await agent.stop();
		}
	});

	test("without an agent the proxy has no way to the engine, which may come yet", async () => {
		const { Id } = await client.register(newName(), never);
		const error = await openEngine(portainerTransport(place, Id)).then(
			() => undefined,
			(fault: unknown) => fault,
		);
		expect(error).toMatchObject({ code: "docker_unavailable" });
	});

	test("a wrong access token is refused with the variable's name, and the token itself is not in the message", async () => {
		const wrong = `ptr_${hex(16)}`;
		const error = await failure(portainerClient({ ...place, apiKey: new Secret(wrong) }).register(newName(), never));
		expect([401, 403]).toContain(error.status ?? 0);
		expect(error.message).toContain("MUSTER_PORTAINER_API_KEY");
		expect(error.message).not.toContain(wrong);
		expect(error.passing).toBe(false);
	});

	test.each([
		["http://localhost:9000", "localhost"],
		["", "URL"],
	])("agents cannot be sent to %j: refused for good", async (edgeUrl, words) => {
		const error = await failure(portainerClient({ ...place, edgeUrl }).register(newName(), never));
		expect(error.status).toBe(400);
		expect(error.message).toContain(words);
		expect(error.passing).toBe(false);
	});

	test("a Portainer that does not listen may come back: the error names its URL and the variable", async () => {
		const error = await failure(portainerClient({ ...place, url: "http://127.0.0.1:9" }).version(never));
		expect(error.message).toContain("http://127.0.0.1:9");
		expect(error.message).toContain("MUSTER_PORTAINER_URL");
		expect(error.passing).toBe(true);
	});
});

const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;

test.skipIf(!hasOpenssl)(
	"a certificate that nobody vouches for is refused with the remedy, and taken when that is asked for (needs openssl)",
	async () => {
		const dir = mkdtempSync(join(tmpdir(), "muster-portainer-"));
		const [key, cert] = [join(dir, "key.pem"), join(dir, "cert.pem")];
		spawnSync("openssl", [
			"req",
			"-x509",
			"-newkey",
			"rsa:2048",
			"-nodes",
			"-keyout",
			key,
			"-out",
			cert,
			"-days",
			"2",
			"-subj",
			"/CN=portainer",
		]);
		const server = createServer({ key: readFileSync(key), cert: readFileSync(cert) }, (_, response) =>
			response.end('{"Version":"2.33.5"}'),
		);
		await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
		try {
			const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
			const place = { url, edgeUrl: url, apiKey: new Secret("ptr_any-token"), agentImage: undefined, insecureTls: false };
			expect((await failure(portainerClient(place).version(never))).message).toContain("MUSTER_PORTAINER_INSECURE_TLS");
			expect(await portainerClient({ ...place, insecureTls: true }).version(never)).toBe("2.33.5");
		} finally {
			server.closeAllConnections();
			await new Promise((resolve) => server.close(resolve));
			rmSync(dir, { recursive: true, force: true });
		}
	},
);
