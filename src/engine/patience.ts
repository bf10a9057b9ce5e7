import { clearTimeout, setTimeout } from "node:timers";
import { EngineError } from "./error.ts";
import type { EngineRequest } from "./transport.ts";

/** How long an engine is waited for. Beyond it hangs: whoever waits in the same lane must not wait for good. */
export interface Patience {
	/** What needs no work of it, and the beginning of a stream. A busy one has taken 20 s for its list. */
	readonly answerMs: number;
	/** What it has to do: start, remove, make. A large container's layers are deleted in minutes. The grace of a stop comes on top. */
	readonly workMs: number;
	/** The silence between two lines of progress. */
	readonly silenceMs: number;
}

export const patience: Patience = { answerMs: 60_000, workMs: 600_000, silenceMs: 600_000 };

/** A request with a limit. */
export interface Limited {
	/** Aborted by the request's own signal, or, when the time is over, by the `EngineError` that names the call. */
	readonly signal: AbortSignal;
	/** The time begins anew. */
	renew(): void;
	/** There is no limit any more, but the caller's signal counts on. */
	end(): void;
}

/** Gives a request a limit. The caller ends it in any case: it holds a timer. */
export function limited({ method, path, signal }: EngineRequest, limitMs: number): Limited {
	const cut = new AbortController();
	const later = method === "GET" ? "" : "; it may still do it: look before you ask again";
	const expire = () =>
		cut.abort(new EngineError("docker_unavailable", `Docker did not answer ${method} ${path} within ${limitMs / 1_000} s${later}`));
	let timer = setTimeout(expire, limitMs);
	return {
		signal: signal === undefined ? cut.signal : AbortSignal.any([signal, cut.signal]),
		renew() {
			clearTimeout(timer);
			timer = setTimeout(expire, limitMs);
		},
		end: () => clearTimeout(timer),
	};
}
