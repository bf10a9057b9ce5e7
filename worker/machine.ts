/**
 * The worker as a pure state machine: `machine(state, event)` gives the next state and what to do. It knows no clock, no network and no file;
 * loop.ts runs the effects and hands their results back as events.
 *
 *   fresh         started, nothing decided. With a credential: connecting, or stopping with 0 for the command `enroll`. Without: enrolling.
 *   enrolling     the enroll call is under way. Enrolled: storing. Held: pending. Refused for now, or no answer: delayed. Refused for good: stopping.
 *                 A signed call (auto-enrollment) whose time was refused is sent again with the server's time, one whose nonce was seen with a new
 *                 nonce; each once without a wait between, then stopping with 77. Any other `replayed`: a new enrollment id, once, then stopping.
 *   pending       an operator has to decide; asks again, same enrollment id, when the server said. Due: enrolling.
 *   delayed       the server said wait, or could not be reached; waits with full jitter, on top of what the server asked. Due: enrolling.
 *   storing       the credential is being opened and kept. Kept: connecting, or stopping with 0 for the command `enroll`.
 *   joining       there is a credential, and its reply named a mesh: the client starts, logs in, or comes back with its login. On the mesh: connecting,
 *                 or stopping with 0 for the command `enroll`. Not yet: unjoined. No login and no key: enrolling anew if there is a key, else stopping with 77.
 *   unjoined      waits with full jitter. Due: joining.
 *   connecting    the socket opens. Acknowledged: connected. Closed: checking when that doubts the credential, else reconnecting.
 *   connected     heartbeats, one at a time. Closed: as above.
 *   checking      the server seemed to refuse the credential; an HTTP call finds out whether that was the server at all.
 *                 Believed only after 3 refusals over 2 minutes or more. With a key that may be used again: enrolling, under a new enrollment id,
 *                 the files kept until a new pair is there. Without: stopping with 77, files kept. Not believed yet: reconnecting.
 *   reconnecting  waits with full jitter. Due: connecting. A worker that another with the same identity replaced 3 times stops with 74.
 *                 From joining to reconnecting: a login that the mesh forgot leads to enrolling with a key, to stopping with 77 without.
 *   stopping      the end, with its exit code: SIGTERM and SIGINT lead here from everywhere, with 0. Nothing leads out.
 */
import { absurd } from "../src/lib/absurd.ts";
import { exitCodes } from "../src/protocol/codes.ts";
import * as claiming from "./machine-claim.ts";
import * as linking from "./machine-link.ts";
import * as meshing from "./machine-mesh.ts";
import { type Event, type State, type Step, stop } from "./machine-state.ts";

/** Where every worker begins. */
export const initialState: State = { kind: "fresh" };

/** Takes one step. An event that means nothing in a state (a late answer, a timer called off too late) changes nothing. */
export function machine(state: State, event: Event): Step {
	if (state.kind === "stopping") return [state, []];
	if (event.kind === "signalled") return stop(exitCodes.ok, "info", `${event.signal} received`);
	if (event.kind === "broken") return stop(event.code, "error", event.why);
	if (event.kind === "meshLost" && "link" in state) return meshing.lost(state, "joining" in state && state.joining.thenExit, event.why);
	switch (state.kind) {
		case "fresh": {
			if (event.kind !== "started") return [state, []];
			if (!event.hasCredential) return claiming.start(event);
			const { signed, again } = event;
			const link = linking.newLink(again ? { signed } : undefined, event.entry ? { signed, again } : undefined);
			if (event.mesh) return meshing.start(link, event.thenExit);
			return event.thenExit ? stop(exitCodes.ok, "info", "already enrolled") : linking.start(link);
		}
		case "enrolling":
		case "pending":
		case "delayed":
		case "storing":
			return claiming.step(state, event);
		case "joining":
		case "unjoined":
			return meshing.step(state, event);
		case "connecting":
		case "connected":
		case "checking":
		case "reconnecting":
			return linking.step(state, event);
		default:
			return absurd(state);
	}
}
