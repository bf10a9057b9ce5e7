/** The mesh against every Headscale there is here: real binaries that TEST_HEADSCALE_BINARIES names, and the fake of the other versions. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type HeadscalePatience, openHeadscale } from "../../src/mesh/headscale.ts";
import { type KeyName, MeshFault, type MintedKey } from "../../src/mesh/port.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { silentLog } from "../../src/lib/log.ts";
import { Secret } from "../../src/lib/secret.ts";
import { createMetrics } from "../../src/metrics/registry.ts";
import { failureOf } from "../support/failure.ts";
import { type FakeHeadscale, startFakeHeadscale } from "../support/fakes/headscale.ts";
import { headscaleBinaries } from "../support/headscale.ts";
import { type Backend, backends, keysOf, usableKeys } from "../support/mesh/backends.ts";
import { type Gate, openGate } from "../support/mesh/gate.ts";

const nothing = async () => {};
let marks = 0;
/** A key by its mark, or by what the mesh said of it. */
const named = (key: { remoteId: string; createdAt: number | null } | null, mark = expiration()): KeyName => ({
	remoteId: key?.remoteId ?? null,
	remoteCreatedAt: key?.createdAt ?? null,
	expiration: mark,
	askedAt: Date.now(),
});
const expiration = () => `${new Date(Date.now() + 600_000).toISOString().slice(0, 19)}.${String(++marks).padStart(6, "0")}Z`;

describe.each(backends)("the mesh on $name", ({ start }) => {
	let backend: Backend;
	let gate: Gate;
	beforeAll(async () => {
		backend = await start();
		gate = await openGate(backend.url);
	});
	afterAll(async () => {
		await gate.shut();
		await backend.stop();
	});

	const openMesh = (
		change: { url?: string; apiKey?: string; user?: string | undefined } = {},
		patience: Partial<HeadscalePatience> = {},
	) => {
		const { url = gate.url, apiKey = backend.apiKey } = change;
		const user = "user" in change ? change.user : backend.user;
		const config = { url, publicUrl: url, apiKey: new Secret(apiKey), user, tags: ["tag:muster"] };
		return openHeadscale(config, { clock: systemClock, log: silentLog, metrics: createMetrics({ process: false }) }, patience);
	};

	test("H7: a minted key is single-use, tagged, and ends in ten minutes: one without an end would have ended before its first use", async () => {
		const mesh = openMesh();
		const key = await mesh.mint(expiration(), nothing);
		expect(key.text.reveal()).toMatch(/^(hskey-auth-|[0-9a-f]{48})/);
		const seen = (await keysOf(backend)).find(({ id }) => id === key.remoteId);
		expect(seen).toMatchObject({ usable: true, tags: ["tag:muster"] });
		expect(seen?.endsInMs).toBeWithin(500_000, 601_000);
		expect(await mesh.expire([named(key)])).toEqual([true]);
		expect((await keysOf(backend)).find(({ id }) => id === key.remoteId)?.usable).toBe(false);
		await mesh.close();
	});

	test("H6: a key whose answer was lost is found by the end it was asked with, and no other is touched", async () => {
		const mesh = openMesh({}, { mintMs: 2_000 });
		const other = await mesh.mint(expiration(), nothing);
		const before = await usableKeys(backend);
		const mark = expiration();
		gate.loseAnswer("cut");
		expect(await failureOf(mesh.mint(mark, nothing))).toMatchObject({ name: "MeshFault", kind: "unavailable" });
		expect(await usableKeys(backend)).toBe(before + 1);
		expect(await mesh.expire([named(null, mark)])).toEqual([true]);
		expect(await usableKeys(backend)).toBe(before);
		expect((await keysOf(backend)).find(({ id }) => id === other.remoteId)?.usable).toBe(true);
		await mesh.close();
	});

	test("H6: after Headscale got a new database, the key that has an old key's id now is not ended in its place", async () => {
		const mesh = openMesh();
		const old = named(await mesh.mint(expiration(), nothing));
		const keys = await keysOf(backend);
		await backend.renew();
		const anew = openMesh();
		const innocent: MintedKey[] = [];
		while (!innocent.some(({ remoteId }) => remoteId === old.remoteId)) innocent.push(await anew.mint(expiration(), nothing));
		expect(keys.map(({ id }) => id)).toContain(old.remoteId as never);
		expect(await anew.expire([old])).toEqual([true]);
		expect(await usableKeys(backend)).toBe(innocent.length);
		await Promise.all([mesh.close(), anew.close()]);
	});

	test("a key that was never made is told as not found: it may still come", async () => {
		const mesh = openMesh();
		expect(await mesh.expire([named(null)])).toEqual([false]);
		await mesh.close();
	});

	test("ending a key twice, or one that was never there, is done and no fault", async () => {
		const mesh = openMesh();
		const name = named(await mesh.mint(expiration(), nothing));
		expect(await mesh.expire([name])).toEqual([true]);
		expect(await mesh.expire([name, { ...name, remoteId: "987654" }])).toEqual([true, true]);
		await mesh.close();
	});

	test("a node that is gone is removed; the list of nodes can be read", async () => {
		const mesh = openMesh();
		await mesh.removeNode("987654");
		expect(await mesh.nodes()).toEqual([]);
		await mesh.close();
	});

	test("a wrong API key is told with its remedy, and without the key", async () => {
		const mesh = openMesh({ apiKey: "a-wrong-api-key-of-this-test" });
		const fault = await failureOf(mesh.mint(expiration(), nothing));
		expect(fault).toBeInstanceOf(MeshFault);
		expect(String(fault)).toContain("headscale apikeys create");
		expect(String(fault)).not.toContain("a-wrong-api-key");
		expect(await mesh.probe()).toMatchObject({ ok: false, reason: expect.stringContaining("MUSTER_HEADSCALE_API_KEY") });
		await mesh.close();
	});

	test("a user that does not exist is named, with the command that makes it; nothing is minted", async () => {
		const mesh = openMesh({ user: "nobody" });
		const before = await usableKeys(backend);
		let asked = false;
		const fault = await failureOf(
			mesh.mint(expiration(), async () => {
				asked = true;
			}),
		);
		expect(String(fault)).toContain("headscale users create nobody");
		expect([asked, await usableKeys(backend)]).toEqual([false, before]);
		await mesh.close();
	});

	test("one that hangs costs a mint its deadline and no more", async () => {
		const mesh = openMesh({}, { mintMs: 200 });
		await mesh.probe();
		gate.loseAnswer("hang");
		expect(await failureOf(mesh.mint(expiration(), nothing))).toMatchObject({ kind: "unavailable" });
		await mesh.close();
	});

	test("one that is down is left alone after a few failures, found again by one probe, and then as it was", async () => {
		let now = 0;
		const clock = { now: () => Date.now(), monotonic: () => now };
		const config = { url: gate.url, publicUrl: gate.url, apiKey: new Secret(backend.apiKey), user: backend.user, tags: [] };
		const tools = { clock, log: silentLog, metrics: createMetrics({ process: false }) };
		const mesh = openHeadscale(config, tools, { failures: 2, openMs: 1_000 });
		const kind = async () => {
			const fault = await mesh.nodes().then(
				() => undefined,
				(error: unknown) => error as MeshFault,
			);
			return fault?.kind;
		};
		await gate.shut();
		expect([await kind(), await kind(), await kind()]).toEqual(["unavailable", "unavailable", "not-asked"]);
		expect(mesh.state().ok).toBe(false);
		now = 1_000;
		expect([await kind(), await kind()]).toEqual(["unavailable", "not-asked"]);
		await gate.open();
		now = 1_999;
		expect(await kind()).toBe("not-asked");
		now = 2_000;
		expect([await kind(), await kind()]).toEqual([undefined, undefined]);
		expect(await mesh.probe()).toEqual({ ok: true, reason: undefined });
		const page = await tools.metrics.render();
		expect(page.text).toContain('muster_mesh_breaker{state="closed"} 1');
		await mesh.close();
	});

	test("calls wait for a turn a bounded time: one that waits too long, or comes when too many wait, is not sent", async () => {
		const mesh = openMesh({}, { running: 1, waiting: 1, waitMs: 50 });
		await mesh.probe();
		const before = gate.mints();
		const held = gate.hold();
		const first = mesh.mint(expiration(), nothing);
		await held.arrived(1);
		const [second, third] = [failureOf(mesh.mint(expiration(), nothing)), failureOf(mesh.mint(expiration(), nothing))];
		expect([await second, await third]).toMatchObject([{ kind: "not-asked" }, { kind: "not-asked" }]);
		held.release();
		expect((await first).remoteId).not.toBe("");
		expect(gate.mints()).toBe(before + 1);
		await mesh.close();
	});
});

test("H6: a 404 of something before Headscale is no word of it: the key counts as valid still, and the node as there", async () => {
	const between = Bun.serve({
		port: 0,
		hostname: "127.0.0.1",
		fetch(request) {
			const { pathname } = new URL(request.url);
			if (pathname === "/version") return Response.json({ version: "v0.29.2" });
			if (pathname === "/api/v1/user") return Response.json({ users: [{ id: "1", name: "muster" }] });
			return new Response("<h1>Not Found</h1>", { status: 404 });
		},
	});
	const url = `http://127.0.0.1:${between.port}`;
	const tools = { clock: systemClock, log: silentLog, metrics: createMetrics({ process: false }) };
	const mesh = openHeadscale({ url, publicUrl: url, apiKey: new Secret("an API key"), user: "muster", tags: [] }, tools);
	try {
		expect(await failureOf(mesh.expire([named({ remoteId: "1", createdAt: null })]))).toMatchObject({ status: 404 });
		expect(await failureOf(mesh.removeNode("1"))).toMatchObject({ status: 404 });
	} finally {
		await mesh.close();
		await between.stop(true);
	}
});

test.skipIf(headscaleBinaries.length < 2)("H7: the same suite ran against real Headscales of at least two versions", () => {
	expect(new Set(backends.map(({ name }) => name).filter((name) => name.startsWith("real"))).size).toBeGreaterThanOrEqual(2);
});

describe("the fake is held to what real ones do", () => {
	test.each(["0.23.0", "0.30.0"] as const)("%s: a key lets one machine in, and one without an end lets none", async (version) => {
		const fake: FakeHeadscale = await startFakeHeadscale(version);
		try {
			const post = async (body: object) => {
				const headers = { authorization: `Bearer ${fake.apiKey}`, "content-type": "application/json" };
				const reply = await fetch(`${fake.url}/api/v1/preauthkey`, { method: "POST", headers, body: JSON.stringify(body) });
				return ((await reply.json()) as { preAuthKey: { key: string } }).preAuthKey.key;
			};
			const user = version === "0.23.0" ? "muster" : "7";
			const good = await post({ user, expiration: expiration(), aclTags: [] });
			fake.join(good, "robot");
			expect(() => fake.join(good, "robot")).toThrow("already used");
			const trap = await post({ user, aclTags: [] });
			expect(() => fake.join(trap, "robot")).toThrow("expired");
		} finally {
			await fake.stop();
		}
	});
});
