/** The truth table of decide(): the same enrollment again. */
import { facts, key, now, prior, request, worker } from "./builders.ts";
import { admitNew, ask, held, moved, reused, type Row, row } from "./rows.ts";

const again = { kind: "replay", workerId: "wrk_a", sealed: null } as const;
const used = { used: true, revoked: false };
const cut = { used: false, revoked: true };
const gone = facts({ key: key({ revokedAt: now - 1, active: false }), prior: prior() });
const heldPrior = prior({
	state: "held",
	outcome: null,
	credential: undefined,
	expiresAt: null,
	worker: worker({ state: "PENDING", pendingReason: "APPROVAL_REQUIRED" }),
});

/** G6: the same enrollment again. */
export const repeats: readonly Row[] = [
	row("a repeat without a reply key gets a credential in place of the unused first", facts({ prior: prior() }), ask, again),
	row(
		"a repeat with its reply key gets the sealed reply",
		facts({ prior: prior({ replyKey: "rk", sealed: "bytes" }) }),
		request({ replyKey: "rk" }),
		{ ...again, sealed: "bytes" },
	),
	row(
		"a sealed reply is given again even when the credential was used",
		facts({ prior: prior({ replyKey: "rk", sealed: "bytes", credential: used }) }),
		request({ replyKey: "rk" }),
		{ ...again, sealed: "bytes" },
	),
	row("a repeat counts no use: an exhausted key answers it", facts({ key: key({ maxUses: 1, uses: 1 }), prior: prior() }), ask, again),
	row("a repeat outlives the key's revocation", gone, ask, again),
	row(
		"a repeat of a consumed host token is answered",
		facts({ key: key({ kind: "host", consumedAt: now - 1 }), prior: prior() }),
		ask,
		again,
	),
	row(
		"a repeat after the reply memory is a new request: reused",
		facts({ prior: prior({ expiresAt: now }), sameMachine: worker() }),
		ask,
		reused,
	),
	row(
		"a repeat after the reply memory meets the key's life",
		facts({ key: key({ revokedAt: now - 1 }), prior: prior({ expiresAt: now }) }),
		ask,
		"revoked",
	),
	row("the reply memory's last millisecond answers", facts({ prior: prior({ expiresAt: now + 1 }) }), ask, again),
	row(
		"another machine with the same enrollment id is refused",
		facts({ prior: prior() }),
		request({}, { machineUid: "uid-b" }),
		"bad_request",
	),
	row("another reply key with the same enrollment id is refused", facts({ prior: prior() }), request({ replyKey: "rk" }), "bad_request"),
	row("a reply key left out of the repeat is refused", facts({ prior: prior({ replyKey: "rk", sealed: "bytes" }) }), ask, "bad_request"),
	row("another key with the same enrollment id is refused", facts({ prior: prior() }), request({ keyId: "key_b" }), "bad_request"),
	row("a repeat after the worker was deleted is refused", facts({ prior: prior({ worker: undefined }) }), ask, "not_allowed"),
	row(
		"a repeat after the worker was revoked is refused",
		facts({ prior: prior({ worker: worker({ state: "REVOKED" }) }) }),
		ask,
		"not_allowed",
	),
	row("a repeat whose credential is in use is refused", facts({ prior: prior({ credential: used }) }), ask, "replayed"),
	row("a repeat whose credential was revoked is refused", facts({ prior: prior({ credential: cut }) }), ask, "replayed"),
	row(
		"a sealed reply whose credential was revoked is not given again",
		facts({ prior: prior({ replyKey: "rk", sealed: "bytes", credential: cut }) }),
		request({ replyKey: "rk" }),
		"replayed",
	),
	row("a repeat whose credential is gone is refused", facts({ prior: prior({ credential: undefined }) }), ask, "replayed"),
	row("a held claim that asks again is held", facts({ prior: heldPrior }), ask, {
		kind: "hold",
		why: "APPROVAL_REQUIRED",
		workerId: "wrk_a",
	}),
	row(
		"a held collision that asks again is held for the collision",
		facts({ prior: { ...heldPrior, worker: worker({ id: "wrk_split", state: "PENDING", pendingReason: "COLLISION" }) } }),
		ask,
		{ ...held, workerId: "wrk_split" },
	),
	row("an approved claim that asks again is admitted as new", facts({ prior: { ...heldPrior, worker: worker() } }), ask, {
		...admitNew,
		workerId: "wrk_a",
	}),
	row(
		"an approved claim is admitted with the outcome an operator gave it",
		facts({ prior: { ...heldPrior, outcome: "MOVED", worker: worker() } }),
		ask,
		moved,
	),
	row(
		"an approved claim is admitted though its key was used up meanwhile",
		facts({ key: key({ maxUses: 1, uses: 1 }), prior: { ...heldPrior, worker: worker() } }),
		ask,
		{ ...admitNew, workerId: "wrk_a" },
	),
	row(
		"a rejected claim that asks again is refused",
		facts({ prior: { ...heldPrior, worker: worker({ state: "REVOKED" }) } }),
		ask,
		"not_allowed",
	),
	row("a held claim of another machine is refused", facts({ prior: heldPrior }), request({}, { machineUid: "uid-b" }), "bad_request"),
];
