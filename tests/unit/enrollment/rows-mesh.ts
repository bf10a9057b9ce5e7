import { facts, key, prior, request } from "./builders.ts";
import { admitNew, ask, type Row, row } from "./rows.ts";

/** H6: what the mesh key that was minted ahead, or not, does to a verdict. */
export const meshKeys: readonly Row[] = [
	row("a machine is let in with the mesh key that is ready", facts({ mesh: "ready" }), ask, admitNew),
	row("a machine is not let in without its mesh key: the token stays unused", facts({ mesh: "missing" }), ask, "mesh_mint_failed"),
	row(
		"a repeat that is to get a fresh credential is refused without a fresh mesh key",
		facts({ mesh: "missing", prior: prior() }),
		ask,
		"mesh_mint_failed",
	),
	row(
		"a repeat that gets its sealed reply again needs no new mesh key",
		facts({ mesh: "missing", prior: prior({ replyKey: "reply key", sealed: "sealed bytes" }) }),
		request({ replyKey: "reply key" }),
		{ kind: "replay", workerId: "wrk_a", sealed: "sealed bytes" },
	),
	row("a machine that is held needs no mesh key yet", facts({ mesh: "missing", site: { enrollmentPolicy: "REQUIRE_APPROVAL" } }), ask, {
		kind: "hold",
		why: "APPROVAL_REQUIRED",
		workerId: undefined,
	}),
	row(
		"what is refused anyway keeps its reason",
		facts({ mesh: "missing", key: key({ kind: "host", consumedAt: 1 }), host: { name: "name-a", worker: undefined } }),
		ask,
		"already_consumed",
	),
];
