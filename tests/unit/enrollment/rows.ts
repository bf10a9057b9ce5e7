/** The truth table of decide(), as data. */
import type { Verdict } from "../../../src/enrollment/decide.ts";
import type { Facts } from "../../../src/enrollment/facts.ts";
import type { ProvenRequest } from "../../../src/enrollment/request.ts";
import type { Refusal } from "../../../src/protocol/codes.ts";
import { facts, key, minute, now, prior, request, staleMs, worker } from "./builders.ts";

/** One row: under these facts this request gets this verdict. A refusal is named by its reason alone. */
export interface Row {
	readonly name: string;
	readonly facts: Facts;
	readonly request: ProvenRequest;
	readonly verdict: Exclude<Verdict, { kind: "refuse" }> | Refusal;
}

/** Makes a row. */
export function row(name: string, given: Facts, asked: ProvenRequest, verdict: Row["verdict"]): Row {
	return { name, facts: given, request: asked, verdict };
}

export const admitNew = { kind: "admit", outcome: "NEW", workerId: undefined } as const;
export const reused = { kind: "admit", outcome: "REUSED", workerId: "wrk_a" } as const;
export const moved = { kind: "admit", outcome: "MOVED", workerId: "wrk_a" } as const;
export const ask = request();
const hostA = { name: "name-a", worker: undefined };

/** B3, S2, S3, H8: the key's life. */
export const keyLife: readonly Row[] = [
	row("a live site key admits a new machine", facts(), ask, admitNew),
	row("a key deleted since its proof is not known", facts({ key: undefined }), ask, "invalid_token"),
	row("a key deleted since its proof opens no earlier answer either", facts({ key: undefined, prior: prior() }), ask, "invalid_token"),
	row("a revoked site key is refused", facts({ key: key({ revokedAt: now - 1 }) }), ask, "revoked"),
	row("a revocation stamped by a clock ahead of ours counts", facts({ key: key({ revokedAt: now + minute }) }), ask, "revoked"),
	row(
		"a revoked key in its grace period is refused",
		facts({ key: key({ active: false, graceEndsAt: now + minute, revokedAt: now - 1 }) }),
		ask,
		"revoked",
	),
	row("a site key rotated without grace is revoked", facts({ key: key({ active: false }) }), ask, "revoked"),
	row("a rotated site key within its grace admits", facts({ key: key({ active: false, graceEndsAt: now + 1 }) }), ask, admitNew),
	row("a grace period ends at its very millisecond", facts({ key: key({ active: false, graceEndsAt: now }) }), ask, "expired"),
	row("a rotated site key after its grace is expired", facts({ key: key({ active: false, graceEndsAt: now - minute }) }), ask, "expired"),
	row("an enrollment key is not rotated: inactive means nothing", facts({ key: key({ kind: "enroll", active: false }) }), ask, admitNew),
	row("a key before its expiry admits", facts({ key: key({ kind: "enroll", expiresAt: now + 1 }) }), ask, admitNew),
	row("a key expires at its very millisecond", facts({ key: key({ kind: "enroll", expiresAt: now }) }), ask, "expired"),
	row("a key after its expiry is expired", facts({ key: key({ kind: "enroll", expiresAt: now - minute }) }), ask, "expired"),
	row("the last use admits", facts({ key: key({ kind: "enroll", maxUses: 3, uses: 2 }) }), ask, admitNew),
	row("a key with no use left is exhausted", facts({ key: key({ kind: "enroll", maxUses: 3, uses: 3 }) }), ask, "exhausted"),
	row("a key over its uses is exhausted", facts({ key: key({ kind: "enroll", maxUses: 3, uses: 4 }) }), ask, "exhausted"),
	row(
		"revoked is told before expired and exhausted",
		facts({ key: key({ kind: "enroll", revokedAt: 1, expiresAt: 1, maxUses: 1, uses: 1 }) }),
		ask,
		"revoked",
	),
	row("expired is told before exhausted", facts({ key: key({ kind: "enroll", expiresAt: 1, maxUses: 1, uses: 1 }) }), ask, "expired"),
	row(
		"a host token consumed before the request arrived is already_consumed",
		facts({ host: hostA, key: key({ kind: "host", consumedAt: now - minute, maxUses: 1, uses: 1 }) }),
		ask,
		"already_consumed",
	),
	row(
		"a host token consumed in the millisecond of arrival is already_consumed",
		facts({ host: hostA, key: key({ kind: "host", consumedAt: now }) }),
		ask,
		"already_consumed",
	),
	row(
		"a host token consumed after the request arrived is race_consumed",
		facts({ host: hostA, key: key({ kind: "host", consumedAt: now }) }),
		request({ arrivedAt: now - 1 }),
		"race_consumed",
	),
	row(
		"a consumed host token is told so even after its expiry",
		facts({ host: hostA, key: key({ kind: "host", consumedAt: now - 2, expiresAt: now - 1 }) }),
		ask,
		"already_consumed",
	),
];

/** H3, B1, A7: scope and the requested id. */
export const scope: readonly Row[] = [
	row("a source outside the key's ranges is refused", facts({ sourceAllowed: false }), ask, "not_allowed"),
	row("life is told before scope", facts({ sourceAllowed: false, key: key({ expiresAt: now }) }), ask, "expired"),
	row(
		"a host token admits its own node name",
		facts({ key: key({ kind: "host" }), host: { name: "name-a", worker: undefined } }),
		ask,
		admitNew,
	),
	row(
		"a host token refuses another node name",
		facts({ key: key({ kind: "host" }), host: { name: "name-b", worker: undefined } }),
		ask,
		"not_allowed",
	),
	row(
		"a host token's name is compared to the letter",
		facts({ key: key({ kind: "host" }), host: { name: "Name-A", worker: undefined } }),
		ask,
		"not_allowed",
	),
	row("a free requested id admits", facts(), request({}, { requestedId: "mine" }), admitNew),
	row(
		"a requested id of another machine is refused",
		facts({ requested: worker({ id: "mine", machineUid: "uid-b" }) }),
		request({}, { requestedId: "mine" }),
		"worker_exists",
	),
	row(
		"a requested id of a worker without a machine is refused",
		facts({ requested: worker({ id: "mine", machineUid: null }) }),
		request({}, { requestedId: "mine" }),
		"worker_exists",
	),
	row(
		"a requested id of a revoked worker of another machine is refused",
		facts({ requested: worker({ id: "mine", machineUid: "uid-b", state: "REVOKED" }) }),
		request({}, { requestedId: "mine" }),
		"worker_exists",
	),
	row(
		"a machine that asks for the id it has is reused",
		facts({ requested: worker(), sameMachine: worker() }),
		request({}, { requestedId: "wrk_a" }),
		reused,
	),
	row(
		"the requested id is told before what is known of the machine",
		facts({ requested: worker({ id: "mine", machineUid: "uid-b" }), sameMachine: worker({ state: "REVOKED" }) }),
		request({}, { requestedId: "mine" }),
		"worker_exists",
	),
];

const online = worker({ lastHeartbeatAt: now - 1 });
const elsewhere = request({}, { hostname: "host-b" });
const split = worker({ id: "wrk_split", machineUid: null, hostname: "host-b" });
export const held = { kind: "hold", why: "COLLISION" } as const;

/** S4, S5, S8: the machine. */
export const machine: readonly Row[] = [
	row("a site that requires approval holds a new machine", facts({ site: { enrollmentPolicy: "REQUIRE_APPROVAL" } }), ask, {
		kind: "hold",
		why: "APPROVAL_REQUIRED",
		workerId: undefined,
	}),
	row(
		"a site that requires approval lets a known machine in again",
		facts({ site: { enrollmentPolicy: "REQUIRE_APPROVAL" }, sameMachine: worker() }),
		ask,
		reused,
	),
	row("a key of no site admits a new machine", facts({ key: key({ siteId: null }), site: undefined }), ask, admitNew),
	row("the same machine at the same site is reused", facts({ sameMachine: worker() }), ask, reused),
	row("the same machine under another site's key is moved", facts({ sameMachine: worker({ siteId: "site_b" }) }), ask, moved),
	row("a machine of no site under a site's key is moved", facts({ sameMachine: worker({ siteId: null }) }), ask, moved),
	row(
		"a machine of no site under a key of no site is reused",
		facts({ key: key({ siteId: null }), site: undefined, sameMachine: worker({ siteId: null }) }),
		ask,
		reused,
	),
	row("a revoked worker's machine stays out", facts({ sameMachine: worker({ state: "REVOKED" }) }), ask, "not_allowed"),
	row(
		"a machine held for approval stays held, whatever the enrollment id",
		facts({ sameMachine: worker({ state: "PENDING", pendingReason: "APPROVAL_REQUIRED" }) }),
		ask,
		{ kind: "hold", why: "APPROVAL_REQUIRED", workerId: "wrk_a" },
	),
	row("a machine held for no stated reason is held for approval", facts({ sameMachine: worker({ state: "PENDING" }) }), ask, {
		kind: "hold",
		why: "APPROVAL_REQUIRED",
		workerId: "wrk_a",
	}),
	row(
		"another hostname claims a machine that waits for approval: held apart from it (S8)",
		facts({ sameMachine: worker({ state: "PENDING", pendingReason: "APPROVAL_REQUIRED" }) }),
		elsewhere,
		{ ...held, workerId: undefined },
	),
	row(
		"a machine of another site does not move into one that asks for approval (S8)",
		facts({ site: { enrollmentPolicy: "REQUIRE_APPROVAL" }, sameMachine: worker({ siteId: "site_b" }) }),
		ask,
		"not_allowed",
	),
	row(
		"a machine of a site that asks for approval is reused there (S8)",
		facts({ site: { enrollmentPolicy: "REQUIRE_APPROVAL" }, sameMachine: worker() }),
		ask,
		reused,
	),
	row("an online worker's own hostname is no collision", facts({ sameMachine: online }), ask, reused),
	row("another hostname while the worker is online is held", facts({ sameMachine: online }), elsewhere, { ...held, workerId: undefined }),
	row("no hostname while the worker is online is held", facts({ sameMachine: online }), request({}, { hostname: null }), {
		...held,
		workerId: undefined,
	}),
	row(
		"an online worker that moves site from another hostname is held",
		facts({ sameMachine: { ...online, siteId: "site_b" } }),
		elsewhere,
		{
			...held,
			workerId: undefined,
		},
	),
	row("another hostname while the worker was never heard is reused", facts({ sameMachine: worker() }), elsewhere, reused),
	row(
		"the last millisecond of being online still collides",
		facts({ sameMachine: worker({ lastHeartbeatAt: now - staleMs + 1 }) }),
		elsewhere,
		{ ...held, workerId: undefined },
	),
	row("a stale worker does not collide", facts({ sameMachine: worker({ lastHeartbeatAt: now - staleMs }) }), elsewhere, reused),
	row(
		"a claimant held before is held again as the same claim",
		facts({ sameMachine: online, heldClaim: { ...split, state: "PENDING", pendingReason: "COLLISION" } }),
		elsewhere,
		{ ...held, workerId: "wrk_split" },
	),
	row(
		"a held claimant stays held when the worker goes offline: an operator decides",
		facts({ sameMachine: worker(), heldClaim: { ...split, state: "PENDING", pendingReason: "COLLISION" } }),
		elsewhere,
		{ ...held, workerId: "wrk_split" },
	),
	row("a claimant split off is its own worker from then on", facts({ sameMachine: online, heldClaim: split }), elsewhere, {
		...reused,
		workerId: "wrk_split",
	}),
	row(
		"a claimant split off under another site's key is moved",
		facts({ sameMachine: online, heldClaim: { ...split, siteId: "site_b" } }),
		elsewhere,
		{ ...moved, workerId: "wrk_split" },
	),
	row("a banned claimant stays out", facts({ sameMachine: online, heldClaim: { ...split, state: "REVOKED" } }), elsewhere, "not_allowed"),
	row(
		"a banned claimant stays out when the worker is offline",
		facts({ sameMachine: worker(), heldClaim: { ...split, state: "REVOKED" } }),
		elsewhere,
		"not_allowed",
	),
];
