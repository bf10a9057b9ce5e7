/** Host tokens with a mesh (H6): against every Headscale there is here. What is counted are keys that Headscale itself would take. */
import { describe, expect, test } from "bun:test";
import { deleteHost, regenerateHostToken } from "../../src/hosts/onboarding.ts";
import { mintKey } from "../../src/mesh/keys.ts";
import { reapKeys } from "../../src/mesh/reaper.ts";
import { generateReplyKey, open } from "../../src/protocol/seal.ts";
import { backends, usableKeys } from "../support/mesh/backends.ts";
import { admin, enrollInput, hex, holding, lockWaiters, newSite, rowCount } from "../support/pipeline.ts";
import { ageKeys, inputFor, letIn, meshStage, newHost, reapedTo, send, tokenIsUnused } from "./stage.ts";

describe.each(backends)("a host token lets a machine in, and onto the mesh of $name (H6)", (kind) => {
	const stage = meshStage(kind);
	const usable = () => usableKeys(stage.backend);
	const rejected = (reason: string) => ({ kind: "rejected", reason });

	test("the reply has a key that works, in clear without a reply key; the token is consumed and the host is MONITORING", async () => {
		const before = await usable();
		const host = await newHost(stage);
		const { mesh, hostId } = letIn(await send(stage.left, inputFor(host)));
		expect(hostId).toBe(host.id);
		expect(mesh?.authKey).toMatch(/^(hskey-auth-|[0-9a-f]{48})/);
		expect(mesh?.sealedAuthKey).toBeNull();
		expect(await usable()).toBe(before + 1);
		expect(await tokenIsUnused(stage, host)).toBe(false);
		expect(await rowCount(stage.database.db, "hosts", `id = '${host.id}' and state = 'MONITORING'`)).toBe(1);
		// What was minted and given out is left alone.
		await ageKeys(stage);
		await reapedTo(stage, before + 1);
	});

	test("G6: a repeat with a reply key gets the same sealed mesh key and mints nothing; it opens as a mesh key only", async () => {
		const pair = await generateReplyKey();
		const input = inputFor(await newHost(stage), { replyKey: pair.publicKey });
		const first = letIn(await send(stage.left, input));
		const [mints, keys] = [stage.gate.mints(), await usable()];
		const again = letIn(await send(stage.right, input));
		expect([again.outcome, again.sealedApiKey, again.mesh]).toEqual(["REPLAYED", first.sealedApiKey, first.mesh]);
		expect([stage.gate.mints(), await usable()]).toEqual([mints, keys]);
		expect(first.mesh?.authKey).toBeNull();
		const text = await open(pair.privateKey, input.enrollmentId, first.mesh?.sealedAuthKey ?? "", "meshKey");
		expect(text).toMatch(/^(hskey-auth-|[0-9a-f]{48})/);
		for (const place of ["enrollments", "mesh_keys", "attempts", "audit", "events"])
			expect([place, await rowCount(stage.database.db, place, `${place}::text like '%${text}%'`)]).toEqual([place, 0]);
		expect(stage.left.logged.join("\n")).not.toContain(text);
	});

	test("G6: a repeat without one gets a fresh key, and the unused old one is expired", async () => {
		const input = inputFor(await newHost(stage));
		const first = letIn(await send(stage.left, input));
		const keys = await usable();
		const again = letIn(await send(stage.right, input));
		expect(again.outcome).toBe("REPLAYED");
		expect(again.mesh?.authKey).toBeString();
		expect(again.mesh?.authKey).not.toBe(first.mesh?.authKey as never);
		await reapedTo(stage, keys);
	});

	test("two that send one enrollment at the same time, over two servers, leave one key that works", async () => {
		const before = await usable();
		const pair = await generateReplyKey();
		const input = inputFor(await newHost(stage), { replyKey: pair.publicKey });
		const held = stage.gate.hold();
		const both = [send(stage.left, input), send(stage.right, input)];
		await held.arrived(2);
		held.release();
		const [one, other] = (await Promise.all(both)).map(letIn);
		expect(one?.mesh).toEqual(other?.mesh as never);
		await reapedTo(stage, before + 1);
	});

	test("a key that is known to be refused mints nothing: used up, expired, revoked, or of another name", async () => {
		const mints = stage.gate.mints;
		const used = await newHost(stage);
		await send(stage.left, inputFor(used));
		const [expired, renewed, named] = [await newHost(stage), await newHost(stage), await newHost(stage)];
		await stage.database.db.sql`update keys set expires_at = now() - interval '1 second' where host_id = ${expired.id}`;
		await regenerateHostToken(stage.left.deps, admin, { id: renewed.id });
		const before = mints();
		expect(await send(stage.left, inputFor(used))).toMatchObject(rejected("already_consumed"));
		expect(await send(stage.left, inputFor(expired))).toMatchObject(rejected("expired"));
		expect(await send(stage.left, inputFor(renewed))).toMatchObject(rejected("revoked"));
		expect(await send(stage.left, inputFor({ ...named, name: "another" }))).toMatchObject(rejected("not_allowed"));
		expect(mints()).toBe(before);
		expect(letIn(await send(stage.left, inputFor(named))).mesh).not.toBeNull();
	});

	test("a way in that needs no mesh does not wait for it: a site key admits while Headscale is down", async () => {
		const site = await newSite(stage.left.deps);
		await stage.gate.shut();
		try {
			expect(letIn(await send(stage.left, enrollInput(site))).mesh).toBeNull();
		} finally {
			await stage.gate.open();
		}
	});

	describe("Headscale fails", () => {
		test("before the mint: mesh_mint_failed, nothing consumed and nothing minted; the same request works once it is back", async () => {
			const before = await usable();
			const host = await newHost(stage);
			const input = inputFor(host);
			await stage.gate.shut();
			const refused = await send(stage.left, input);
			await stage.gate.open();
			expect(refused).toMatchObject({ ...rejected("mesh_mint_failed"), retryAfterSeconds: expect.any(Number) });
			expect(await tokenIsUnused(stage, host)).toBe(true);
			expect(await rowCount(stage.database.db, "attempts", `host_id = '${host.id}' and reason = 'mesh_mint_failed'`)).toBe(1);
			expect(letIn(await send(stage.left, input)).outcome).toBe("NEW");
			// What was asked for in vain is looked for until its time is over: it may have been made.
			expect(await usable()).toBe(before + 1);
			await stage.database.db.sql`update mesh_keys set expiration = '2000-01-01T00:00:00Z' where state = 'ending' and remote_id is null`;
			await reapedTo(stage, before + 1);
		});

		test.each(["cut", "hang"] as const)(
			"during the mint (the answer is lost: %s): mesh_mint_failed, nothing consumed, and the key that was made is expired",
			async (how) => {
				const before = await usable();
				const host = await newHost(stage);
				const input = inputFor(host);
				stage.gate.loseAnswer(how);
				expect(await send(stage.left, input)).toMatchObject(rejected("mesh_mint_failed"));
				expect(await tokenIsUnused(stage, host)).toBe(true);
				expect(await usable()).toBe(before + 1);
				await reapedTo(stage, before, stage.right);
				expect(letIn(await send(stage.right, input)).outcome).toBe("NEW");
				expect(await usable()).toBe(before + 1);
			},
		);

		test("after the mint: the machine is let in, and what is to be expired waits until it is back", async () => {
			const before = await usable();
			const input = inputFor(await newHost(stage));
			const first = letIn(await send(stage.left, input));
			letIn(await send(stage.left, input));
			await stage.gate.shut();
			await reapKeys(stage.left.deps, stage.left.mesh);
			await stage.gate.open();
			expect(first.mesh).not.toBeNull();
			expect(await usable()).toBe(before + 2);
			await reapedTo(stage, before + 1);
		});
	});

	describe("the token is lost while the key is minted", () => {
		test.each(["left first", "right first"] as const)(
			"to another machine on another server (%s): it is let in, and the loser's key is expired",
			async (order) => {
				const before = await usable();
				const host = await newHost(stage);
				const held = stage.gate.hold();
				const [first, second] = order === "left first" ? [stage.left, stage.right] : [stage.right, stage.left];
				// Both have seen an unused token, and mint.
				const both = [send(first, inputFor(host)), send(second, inputFor(host))];
				await held.arrived(2);
				held.release();
				const results = await Promise.all(both);
				expect(results.map((result) => (result.kind === "rejected" ? result.reason : result.kind)).sort()).toEqual([
					"enrolled",
					"race_consumed",
				]);
				await reapedTo(stage, before + 1, second);
			},
		);

		test("because it is regenerated: refused as revoked, and the key is expired", async () => {
			const before = await usable();
			const host = await newHost(stage);
			const held = stage.gate.hold();
			const asked = send(stage.left, inputFor(host));
			await held.arrived(1);
			const { secret } = await regenerateHostToken(stage.right.deps, admin, { id: host.id });
			held.release();
			expect(await asked).toMatchObject(rejected("revoked"));
			await reapedTo(stage, before);
			expect(letIn(await send(stage.left, inputFor({ ...host, token: secret }))).mesh).not.toBeNull();
		});

		test("because its host is deleted: refused, and neither key nor row is left", async () => {
			const before = await usable();
			const host = await newHost(stage);
			const held = stage.gate.hold();
			const asked = send(stage.left, inputFor(host));
			await held.arrived(1);
			await deleteHost(stage.right.deps, admin, host.id);
			held.release();
			expect(await asked).toMatchObject(rejected("invalid_token"));
			await reapedTo(stage, before, stage.right);
		});

		test("its host was deleted before anything was minted: nothing is", async () => {
			const mints = stage.gate.mints();
			const of = { tenantId: admin.tenantId, hostId: `host_${hex(13)}`, enrollmentId: hex(16) };
			expect(await mintKey(stage.left.deps, stage.left.mesh, of)).toEqual({ kind: "host-gone" });
			expect(stage.gate.mints()).toBe(mints);
		});
	});

	describe("a key that nobody came for is expired by any server", () => {
		const orphan = async () => {
			const host = await newHost(stage);
			const of = { tenantId: admin.tenantId, hostId: host.id, enrollmentId: hex(16) };
			// What a server does that is killed right after the mint.
			const made = await mintKey(stage.left.deps, stage.left.mesh, of);
			if (made.kind !== "minted") throw new Error(made.kind);
			return made;
		};

		test("not before its time, then by one of several at once", async () => {
			const before = await usable();
			await orphan();
			await reapKeys(stage.right.deps, stage.right.mesh);
			expect(await usable()).toBe(before + 1);
			await ageKeys(stage);
			const looked = await Promise.all([stage.left, stage.right].map((server) => reapKeys(server.deps, server.mesh)));
			expect(looked[0] ?? 0).toBeWithin(0, 2);
			expect((looked[0] ?? 0) + (looked[1] ?? 0)).toBe(1);
			await reapedTo(stage, before);
		});

		test("though its id was never written down: the server was killed before it had the answer", async () => {
			const before = await usable();
			const { id } = await orphan();
			await stage.database.db.sql`update mesh_keys set remote_id = null, state = 'minting' where id = ${id}`;
			await ageKeys(stage);
			await reapedTo(stage, before, stage.right);
		});

		test("and is given to no one after that: an enrollment that was too slow is told to ask again, its token untouched", async () => {
			const before = await usable();
			const host = await newHost(stage);
			const held = stage.gate.hold();
			const asked = send(stage.left, inputFor(host));
			await held.arrived(1);
			// Its verdict waits for the key's row while housekeeping takes the mesh key back.
			const lock = await holding(stage.database.db, `select id from keys where host_id = '${host.id}' for update`);
			held.release();
			await lockWaiters(stage.database.db, 1);
			await ageKeys(stage);
			await reapKeys(stage.right.deps, stage.right.mesh);
			await lock.release();
			expect(await asked).toMatchObject(rejected("mesh_mint_failed"));
			expect(await tokenIsUnused(stage, host)).toBe(true);
			await reapedTo(stage, before);
			expect(letIn(await send(stage.left, inputFor(host))).mesh).not.toBeNull();
		});
	});
});
