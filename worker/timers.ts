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
