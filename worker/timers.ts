/** Where waiting comes from: the loop's only way to be woken later, so that a test can move time by hand. */
export interface Timers {
	/** Calls back once after a delay in milliseconds; the returned function calls it off and may be called at any time. */
	after(delayMs: number, callback: () => void): () => void;
}

/** The runtime's own timers. */
export const systemTimers: Timers = {
	after(delayMs, callback) {
		const timer = setTimeout(callback, delayMs);
		return () => clearTimeout(timer);
	},
};

/** Waits so long, or until the signal comes; leaves nothing behind at either, however often it is called with one signal. */
export async function pause(timers: Timers, delayMs: number, signal: AbortSignal): Promise<void> {
	if (signal.aborted) return;
	const { promise, resolve } = Promise.withResolvers<void>();
	const wake = () => resolve();
	signal.addEventListener("abort", wake, { once: true });
	const calm = timers.after(delayMs, wake);
	await promise;
	calm();
	signal.removeEventListener("abort", wake);
}
