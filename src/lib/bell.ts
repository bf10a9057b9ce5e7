import { clearTimeout, setTimeout } from "node:timers";

/** Wakes one waiter; a ring that comes while nobody waits is kept, so that none is lost between looking and waiting. */
export interface Bell {
	ring(): void;
	/** Resolves at the next ring, at once when one was kept, when the signal is aborted, or after `timeoutMs`. */
	wait(signal: AbortSignal, timeoutMs?: number): Promise<void>;
}

/** Makes a bell. One waiter at a time. */
export function newBell(): Bell {
	let rung = false;
	let answer: (() => void) | undefined;
	return {
		ring() {
			rung = true;
			answer?.();
		},
		async wait(signal, timeoutMs) {
			if (!rung && !signal.aborted) {
				let timer: ReturnType<typeof setTimeout> | undefined;
				await new Promise<void>((resolve) => {
					answer = resolve;
					signal.addEventListener("abort", resolve as () => void, { once: true });
					if (timeoutMs !== undefined) timer = setTimeout(resolve, timeoutMs);
				});
				clearTimeout(timer);
				if (answer !== undefined) signal.removeEventListener("abort", answer);
				answer = undefined;
			}
			rung = false;
		},
	};
}
