/** The truth table of decide(): auto-enrollment, host tokens that find a worker, and claimants an operator has settled. */
import type { AutoFacts, HostFacts } from "../../../src/enrollment/facts.ts";
import { facts, key, minute, now, prior, request, worker } from "./builders.ts";
import { admitNew, held, reused, type Row, row } from "./rows.ts";

const fine: AutoFacts = { enabled: true, nonceSeen: false, credentialLive: true, toleranceMs: 5 * minute };
const auto = (change: Partial<AutoFacts> = {}) => ({
	key: key({ kind: "auto", siteId: null }),
	site: undefined,
	auto: { ...fine, ...change },
});
const signed = (timestampMs = now) => request({ proof: { nonce: "nonce-a", timestampMs } });
const again = { kind: "replay", workerId: "wrk_a", sealed: null } as const;

/** A1, A4, A6, A2: auto-enrollment. */
export const autoEnrollment: readonly Row[] = [
	row("a proof in time with a new nonce admits", facts(auto()), signed(), admitNew),
	row("a nonce seen before is replayed", facts(auto({ nonceSeen: true })), signed(), "replayed"),
	row("a proof five minutes old admits", facts(auto()), signed(now - 5 * minute), admitNew),
	row("a proof older than five minutes is skewed", facts(auto()), signed(now - 5 * minute - 1), "clock_skew"),
	row("a proof five minutes ahead admits", facts(auto()), signed(now + 5 * minute), admitNew),
	row("a proof further ahead than five minutes is skewed", facts(auto()), signed(now + 5 * minute + 1), "clock_skew"),
	row(
		"the clock is judged by the time of arrival, not by the wait in a queue",
		facts(auto()),
		request({ arrivedAt: now - 10 * minute, proof: { nonce: "nonce-a", timestampMs: now - 10 * minute } }),
		admitNew,
	),
	row("replayed is told before clock_skew", facts(auto({ nonceSeen: true })), signed(0), "replayed"),
	row("auto-enrollment switched off since the proof is disabled", facts(auto({ enabled: false })), signed(), "enrollment_disabled"),
	row(
		"a secret replaced since the proof is a wrong one",
		facts({ ...auto(), key: key({ kind: "auto", siteId: null, active: false }) }),
		signed(),
		"bad_secret",
	),
	row(
		"a replaced secret within its grace admits",
		facts({ ...auto(), key: key({ kind: "auto", siteId: null, active: false, graceEndsAt: now + 1 }) }),
		signed(),
		admitNew,
	),
	row(
		"a replaced secret after its grace is a wrong one",
		facts({ ...auto(), key: key({ kind: "auto", siteId: null, active: false, graceEndsAt: now }) }),
		signed(),
		"bad_secret",
	),
	row("a shared API key that was revoked meanwhile is not handed out", facts(auto({ credentialLive: false })), signed(), "overloaded"),
	row("a repeat with a new nonce gets its answer", facts({ ...auto(), prior: prior() }), signed(), again),
	row(
		"a repeat with the same nonce gets no answer: it may be somebody else's",
		facts({ ...auto({ nonceSeen: true }), prior: prior() }),
		signed(),
		"replayed",
	),
	row("a repeat with an old proof gets no answer", facts({ ...auto(), prior: prior() }), signed(0), "clock_skew"),
	row("the same machine is reused", facts({ ...auto(), sameMachine: worker({ siteId: null }) }), signed(), reused),
];

const token = key({ kind: "host", maxUses: 1 });
const bound = (change: Parameters<typeof worker>[0] = {}): HostFacts => ({
	name: "name-a",
	worker: worker({ id: "wrk_a", machineUid: "uid-lost", ...change }),
});

/** H1, H3, H14: a regenerated token, and a token whose host is gone. */
export const hostTokens: readonly Row[] = [
	row("a token whose host was deleted is revoked", facts({ key: token }), request(), "revoked"),
	row("a machine that lost its uid goes on as its host's worker", facts({ key: token, host: bound() }), request(), reused),
	row(
		"it may ask for that worker's id",
		facts({ key: token, host: bound(), requested: worker({ machineUid: "uid-lost" }) }),
		request({}, { requestedId: "wrk_a" }),
		reused,
	),
	row(
		"the host's own machine is reused",
		facts({ key: token, host: bound({ machineUid: "uid-a" }), sameMachine: worker() }),
		request(),
		reused,
	),
	row(
		"a machine that is another worker already does not take over the host's",
		facts({ key: token, host: bound({ id: "wrk_b" }), sameMachine: worker() }),
		request(),
		"not_allowed",
	),
	row("a host whose worker was revoked lets nobody in", facts({ key: token, host: bound({ state: "REVOKED" }) }), request(), "not_allowed"),
	row(
		"a host whose worker waits for an operator lets nobody else in",
		facts({ key: token, host: bound({ state: "PENDING", pendingReason: "APPROVAL_REQUIRED" }) }),
		request(),
		"not_allowed",
	),
];

const claim = (state: "ACTIVE" | "PENDING" | "REVOKED") =>
	worker({ id: "wrk_b", machineUid: null, state, pendingReason: state === "PENDING" ? "COLLISION" : null });

/** S5: an operator's word on a claimant stands, whatever became of the worker it collided with. */
export const settled: readonly Row[] = [
	row(
		"a banned claimant stays out when the worker it collided with was deleted",
		facts({ heldClaim: claim("REVOKED") }),
		request(),
		"not_allowed",
	),
	row(
		"a banned claimant stays out when that worker was revoked",
		facts({ heldClaim: claim("REVOKED"), sameMachine: worker({ state: "REVOKED" }) }),
		request(),
		"not_allowed",
	),
	row("a split worker goes on as itself when the worker it was split from was deleted", facts({ heldClaim: claim("ACTIVE") }), request(), {
		kind: "admit",
		outcome: "REUSED",
		workerId: "wrk_b",
	}),
	row(
		"a split worker may ask for its own id",
		facts({ heldClaim: claim("ACTIVE"), sameMachine: worker(), requested: claim("ACTIVE") }),
		request({}, { requestedId: "wrk_b" }),
		{ kind: "admit", outcome: "REUSED", workerId: "wrk_b" },
	),
	row(
		"a split worker does not take over the host of another worker by that host's token",
		facts({ key: token, host: bound({ id: "wrk_c" }), heldClaim: claim("ACTIVE"), sameMachine: worker() }),
		request(),
		"not_allowed",
	),
	row(
		"a claimant that was let in is told to begin anew when its machine is another worker's by then",
		facts({ prior: prior({ state: "held", credential: undefined, expiresAt: null }), sameMachine: worker({ id: "wrk_b" }) }),
		request(),
		"replayed",
	),
	row(
		"a repeat of an enrollment that another one followed gets no newer credential than that",
		facts({ prior: prior({ superseded: true }) }),
		request(),
		"replayed",
	),
	row(
		"a sealed reply is given again all the same: it is the old one",
		facts({ prior: prior({ superseded: true, replyKey: "rk", sealed: "bytes" }) }),
		request({ replyKey: "rk" }),
		{ kind: "replay", workerId: "wrk_a", sealed: "bytes" },
	),
	row(
		"a claimant that waits keeps waiting when the worker it collided with was deleted",
		facts({ heldClaim: claim("PENDING") }),
		request(),
		{ ...held, workerId: "wrk_b" },
	),
];
