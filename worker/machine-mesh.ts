/** The part of the state machine that puts a worker with a credential on its mesh (machine.ts names the states). */
import { exitCodes } from "../src/protocol/codes.ts";
import { type Effect, type Event, type Joining, type Link, newClaim, type State, type Step, stop } from "./machine-state.ts";
import * as linking from "./machine-link.ts";

type MeshState = Extract<State, { readonly joining: Joining }>;

const remedy =
	"a new token is needed, an admin makes it with regenerateHostToken and it goes into MUSTER_ENROLL_TOKEN, with MUSTER_URL, MUSTER_SHARED_SECRET and MUSTER_WORKER_NAME";

/** Begins to join, or to come back to, the mesh. */
export function start(link: Link, thenExit: boolean): Step {
	return [{ kind: "joining", link, joining: { thenExit, failures: 0, why: "the mesh client is starting" } }, [{ kind: "join" }]];
}

/** One step of a worker that is not on its mesh yet. */
export function step(state: MeshState, event: Event): Step {
	const { link, joining } = state;
	if (event.kind === "outOfTime" && joining.thenExit) {
		return stop(exitCodes.temporary, "error", `Enrolled, but not on the mesh in time: ${joining.why}, run enroll again to go on`);
	}
	if (state.kind === "unjoined") return event.kind === "due" ? [{ ...state, kind: "joining" }, [{ kind: "join" }]] : [state, []];
	if (event.kind === "meshJoined") {
		const { addresses, nodeName } = event;
		const line: Effect = { kind: "log", level: "info", event: "mesh.joined", fields: { addresses, nodeName } };
		const [next, effects] = joining.thenExit ? stop(exitCodes.ok, "info", "enrolled and on the mesh") : linking.start(link);
		return [next, [line, ...effects]];
	}
	if (event.kind !== "meshFailed") return [state, []];
	const said: Effect = {
		kind: "log",
		level: joining.why === event.why ? "debug" : "warn",
		event: "mesh.unjoined",
		fields: { why: event.why },
	};
	const next: Joining = { ...joining, failures: joining.failures + 1, why: event.why };
	return [{ kind: "unjoined", link, joining: next }, [said, { kind: "wait", seconds: 0, failures: joining.failures }]];
}

/** The login is gone for good: with a key the worker enrolls anew, and gets another for the mesh; without one it stops (H14). */
export function lost({ link }: { readonly link: Link }, thenExit: boolean, why: string): Step {
	const said: Effect = { kind: "log", level: "error", event: "mesh.lost", fields: { why } };
	if (link.entry === undefined) {
		const [next, effects] = stop(exitCodes.noPermission, "error", `This host is not on its mesh any more: ${why}; ${remedy}`);
		return [next, [said, ...effects]];
	}
	return [
		{ kind: "enrolling", claim: newClaim({ thenExit, ...link.entry, why: `this host is not on its mesh any more: ${why}` }) },
		[said, { kind: "hangUp" }, { kind: "enroll", renew: true }],
	];
}
