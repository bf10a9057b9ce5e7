import { expect, test } from "bun:test";
import fc from "fast-check";
import { decide } from "../../../src/enrollment/decide.ts";
import type { Facts, PriorFacts, WorkerFacts } from "../../../src/enrollment/facts.ts";
import type { ProvenRequest } from "../../../src/enrollment/request.ts";
import type { KeyFacts } from "../../../src/keys/key.ts";
import { now, request, staleMs } from "./builders.ts";

const time = fc.integer({ min: now - 200_000, max: now + 200_000 });
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
const orNull = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: null });
const uid = fc.constantFrom("uid-a", "uid-b");
const site = orNull(fc.constantFrom("site_a", "site_b"));
const hostname = orNull(fc.constantFrom("host-a", "host-b"));
const replyKey = orNull(fc.constantFrom("rk-a", "rk-b"));
const keyId = fc.constantFrom("key_a", "key_b");

const key: fc.Arbitrary<KeyFacts> = fc.record({
	id: keyId,
	kind: fc.constantFrom("site", "enroll", "host", "auto"),
	siteId: site,
	active: fc.boolean(),
	graceEndsAt: orNull(time),
	maxUses: orNull(fc.integer({ min: 1, max: 3 })),
	uses: fc.integer({ min: 0, max: 4 }),
	expiresAt: orNull(time),
	revokedAt: orNull(time),
	consumedAt: orNull(time),
});
const worker: fc.Arbitrary<WorkerFacts> = fc.record({
	id: fc.constantFrom("wrk_a", "wrk_b"),
	machineUid: orNull(uid),
	hostname,
	siteId: site,
	state: fc.constantFrom("ACTIVE", "PENDING", "REVOKED"),
	pendingReason: orNull(fc.constantFrom("COLLISION", "APPROVAL_REQUIRED")),
	lastHeartbeatAt: orNull(time),
});
const prior: fc.Arbitrary<PriorFacts> = fc.record({
	machineUid: uid,
	replyKey,
	keyId,
	state: fc.constantFrom("held", "admitted"),
	outcome: orNull(fc.constantFrom("NEW", "REUSED", "MOVED")),
	worker: maybe(worker),
	superseded: fc.boolean(),
	sealed: orNull(fc.constant("sealed bytes")),
	credential: maybe(fc.record({ used: fc.boolean(), revoked: fc.boolean() })),
	expiresAt: orNull(time),
});
const facts: fc.Arbitrary<Facts> = fc.record({
	key: fc.option(key, { nil: undefined, freq: 9 }),
	site: maybe(fc.record({ enrollmentPolicy: fc.constantFrom("AUTO_APPROVE", "REQUIRE_APPROVAL") })),
	sameMachine: maybe(worker),
	requested: maybe(worker),
	heldClaim: maybe(worker),
	prior: maybe(prior),
	host: maybe(fc.record({ name: fc.constantFrom("name-a", "name-b"), worker: maybe(worker) })),
	auto: maybe(
		fc.record({ enabled: fc.boolean(), nonceSeen: fc.boolean(), credentialLive: fc.boolean(), toleranceMs: fc.constant(300_000) }),
	),
	mesh: fc.constantFrom("none", "ready", "missing"),
	sourceAllowed: fc.boolean(),
	staleMs: fc.constant(staleMs),
});
const asked: fc.Arbitrary<ProvenRequest> = fc
	.record({
		keyId,
		replyKey,
		arrivedAt: time,
		proof: orNull(fc.record({ nonce: fc.constant("nonce"), timestampMs: fc.integer({ min: now - 700_000, max: now + 700_000 }) })),
		machineUid: uid,
		hostname,
		requestedId: orNull(fc.constantFrom("wrk_a", "wrk_b")),
	})
	.map(({ machineUid, hostname: host, requestedId, ...rest }) => request(rest, { machineUid, hostname: host, requestedId }));

const runs = { numRuns: 20_000 };

/** Whether the reply memory still holds an answer for this enrollment id. */
function remembered({ prior: before }: Facts): boolean {
	return before !== undefined && (before.expiresAt === null || now < before.expiresAt);
}

function always(holds: (given: Facts, wanted: ProvenRequest) => void): void {
	fc.assert(fc.property(facts, asked, holds), runs);
}

test("nothing is admitted, held or replayed without a key", () => {
	always((given, wanted) => {
		expect(decide({ ...given, key: undefined }, wanted, now)).toMatchObject({ kind: "refuse", why: "invalid_token" });
	});
});

test("nothing new is admitted or held once the uses reach the limit (B4)", () => {
	always((given, wanted) => {
		const { key: it } = given;
		if (it === undefined || it.maxUses === null || it.uses < it.maxUses || remembered(given)) return;
		expect(decide(given, wanted, now).kind).toBe("refuse");
	});
});

test("nothing new is admitted or held with a key whose life is over (B3, S3)", () => {
	always((given, wanted) => {
		const { key: it } = given;
		if (it === undefined || remembered(given)) return;
		const over =
			it.revokedAt !== null ||
			(it.expiresAt !== null && now >= it.expiresAt) ||
			(it.kind === "site" && !it.active && (it.graceEndsAt === null || now >= it.graceEndsAt)) ||
			(it.kind === "host" && it.consumedAt !== null);
		if (over) expect(decide(given, wanted, now).kind).toBe("refuse");
	});
});

test("nothing new is admitted or held outside the key's scope (H3)", () => {
	always((given, wanted) => {
		if (remembered(given)) return;
		if (given.sourceAllowed && (given.host === undefined || given.host.name === wanted.claim.name)) return;
		expect(decide(given, wanted, now).kind).toBe("refuse");
	});
});

test("a held or refused verdict carries no credential, neither fresh nor sealed", () => {
	always((given, wanted) => {
		const verdict = decide(given, wanted, now);
		if (verdict.kind !== "hold" && verdict.kind !== "refuse") return;
		const text = JSON.stringify(verdict);
		expect(text).not.toContain("sealed bytes");
		expect(text).not.toContain(wanted.fresh.apiKey ?? "no credential");
	});
});

test("a proof that was seen, is out of time or finds no good API key yields nothing at all (A6)", () => {
	always((given, wanted) => {
		if (wanted.proof === null || given.auto === undefined || given.key === undefined) return;
		const { nonceSeen, credentialLive, toleranceMs } = given.auto;
		if (!nonceSeen && credentialLive && Math.abs(wanted.proof.timestampMs - wanted.arrivedAt) <= toleranceMs) return;
		expect(decide(given, wanted, now).kind).toBe("refuse");
	});
});

test("the same facts, request and time give the same verdict, and neither is changed", () => {
	always((given, wanted) => {
		const before = JSON.stringify([given, wanted]);
		expect(decide(given, wanted, now)).toEqual(decide(given, wanted, now));
		expect(JSON.stringify([given, wanted])).toBe(before);
	});
});

test("a replay is only for the same machine, reply key and key, within the reply memory (G6)", () => {
	always((given, wanted) => {
		const verdict = decide(given, wanted, now);
		if (verdict.kind !== "replay") return;
		expect(remembered(given)).toBe(true);
		const { prior: before } = given;
		expect(before).toMatchObject({
			state: "admitted",
			machineUid: wanted.claim.machineUid,
			replyKey: wanted.replyKey,
			keyId: wanted.keyId,
			sealed: verdict.sealed,
		});
		expect(before?.credential?.revoked).toBe(false);
	});
});

test("a revoked worker is never admitted nor replayed, whichever way it is known (S5, S8)", () => {
	always((given, wanted) => {
		const verdict = decide(given, wanted, now);
		if (verdict.kind !== "admit" && verdict.kind !== "replay") return;
		const known = remembered(given) ? given.prior?.worker : given.sameMachine;
		if (known === undefined) return;
		expect(known.state).not.toBe("REVOKED");
	});
});

test("a site that requires approval never admits a machine it does not know (S8)", () => {
	always((given, wanted) => {
		// Who goes on as a worker that was let in before is known.
		if (given.heldClaim?.state === "ACTIVE" || given.host?.worker?.state === "ACTIVE") return;
		const strict: Facts = { ...given, site: { enrollmentPolicy: "REQUIRE_APPROVAL" }, sameMachine: undefined };
		const verdict = decide(strict, wanted, now);
		if (!remembered(strict)) expect(verdict.kind).not.toBe("admit");
	});
});
