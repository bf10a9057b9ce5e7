import { lookup } from "node:dns/promises";
import { connect } from "node:net";
import * as v from "valibot";
import type { Clock } from "../src/lib/clock.ts";
import type { Endpoint } from "./address.ts";
import { type Fetch, through } from "./client.ts";
import { reasonOf } from "./fatal.ts";

/** What `/health/live` of a server said. */
export type LiveAnswer =
	| {
			readonly kind: "answered";
			readonly status: number;
			/** The body is that of a Muster server that lives. */
			readonly muster: boolean;
			/** Where a redirect leads. */
			readonly location: string | undefined;
			/** What the server's clock is ahead of this one's, to half a second and half a round trip; undefined when it does not say the time. */
			readonly clockAheadMs: number | undefined;
			readonly roundTripMs: number;
	  }
	| { readonly kind: "unanswered"; readonly why: string };

const liveBody = v.object({ status: v.literal("live") });
const bodyCharactersMax = 65_536;
// A server's Date header has whole seconds, cut off.
const dateHeaderErrorMs = 500;

/** Where a server says that it lives, beside its GraphQL endpoint. */
export function liveUrl({ http }: Endpoint): string {
	return `${http.replace(/\/graphql$/, "")}/health/live`;
}

/** Asks a server whether it lives, through whatever proxy the worker itself would go: that of `endpoint`, else the environment's. Never throws. */
export async function askLive(
	deps: { readonly clock: Clock; readonly fetch: Fetch },
	url: string,
	signal: AbortSignal,
	endpoint?: Endpoint,
): Promise<LiveAnswer> {
	const [startedMs, startedAtMs] = [deps.clock.monotonic(), deps.clock.now()];
	try {
		const response = await deps.fetch(url, { redirect: "manual", signal, ...(endpoint === undefined ? {} : through(endpoint)) });
		const roundTripMs = deps.clock.monotonic() - startedMs;
		const serverMs = Date.parse(response.headers.get("date") ?? "");
		const clockAheadMs = Number.isNaN(serverMs) ? undefined : serverMs + dateHeaderErrorMs - (startedAtMs + roundTripMs / 2);
		const muster = response.status === 200 && v.is(liveBody, parseJson(await readStart(response)));
		return {
			kind: "answered",
			status: response.status,
			muster,
			location: response.headers.get("location") ?? undefined,
			clockAheadMs,
			roundTripMs,
		};
	} catch (error) {
		return { kind: "unanswered", why: signal.aborted ? late().message : reasonOf(error) };
	}
}

/** Whether a name resolves. Rejects with the system's error when it does not. */
export function resolveName(name: string, signal: AbortSignal): Promise<void> {
	return new Promise((resolve, reject) => {
		whenAborted(signal, () => reject(late()));
		lookup(bare(name)).then(() => resolve(), reject);
	});
}

/** Opens a TCP connection and closes it. Rejects with the system's error. */
export function connectTcp(host: string, port: number, signal: AbortSignal): Promise<void> {
	return new Promise((resolve, reject) => {
		const socket = connect({ host: bare(host), port });
		const end = (settle: () => void) => {
			socket.destroy();
			settle();
		};
		socket.once("connect", () => end(resolve));
		socket.once("error", (error) => end(() => reject(error)));
		whenAborted(signal, () => end(() => reject(late())));
	});
}

function late(): Error {
	return new Error("no answer in time");
}

function whenAborted(signal: AbortSignal, then: () => void): void {
	if (signal.aborted) then();
	else signal.addEventListener("abort", then, { once: true });
}

/** A host as the system's calls take it: URLs hold an IPv6 address in brackets. */
function bare(host: string): string {
	return host.replace(/^\[(.*)\]$/, "$1");
}

async function readStart(response: Response): Promise<string> {
	const decoder = new TextDecoder();
	let text = "";
	for await (const chunk of response.body ?? []) {
		text += decoder.decode(chunk, { stream: true });
		if (text.length > bodyCharactersMax) break;
	}
	return text;
}

function parseJson(text: string): unknown {
	try {
		return JSON.parse(text);
	} catch {
		return undefined;
	}
}
