import { clearTimeout, setTimeout } from "node:timers";
import type { LeaveSignal } from "./leaving.ts";

/**
 * Wakes one waiter at a time; a ring that comes while nobody waits is kept, so that none is lost between looking and waiting. A class, since
 * each of ten thousand waiting workers has one, and closures of its own would be held by each.
 */
export class Bell {
	private rung = false;
	private answer: (() => void) | undefined;

	ring(): void {
		this.rung = true;
		this.answer?.();
	}

	/** Resolves at the next ring, at once when one was kept, when the signal is aborted, or after `timeoutMs`. */
	async wait(signal: LeaveSignal, timeoutMs?: number): Promise<void> {
		if (!this.rung && !signal.aborted) {
			let timer: ReturnType<typeof setTimeout> | undefined;
			await new Promise<void>((resolve) => {
				this.answer = resolve;
				signal.addEventListener("abort", resolve, { once: true });
				if (timeoutMs !== undefined) timer = setTimeout(resolve, timeoutMs);
			});
			clearTimeout(timer);
			if (this.answer !== undefined) signal.removeEventListener("abort", this.answer);
			this.answer = undefined;
		}
		this.rung = false;
	}
}
