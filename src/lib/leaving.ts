/** Whether a stream's reader has left, for those who wait on its behalf. An `AbortSignal` is one. */
export interface LeaveSignal {
	readonly aborted: boolean;
	/** The listener is called once, when the reader leaves; never, when it has left already. It must not throw. */
	addEventListener(type: "abort", listener: () => void, options?: { readonly once: boolean }): void;
	removeEventListener(type: "abort", listener: () => void): void;
}

const nothing = (): void => {};
/** Of a reader that never leaves. One for all, so it keeps nobody. */
export const neverLeaves: LeaveSignal = { aborted: false, addEventListener: nothing, removeEventListener: nothing };

const nobody: readonly (() => void)[] = [];

/** A signal of our own for each stream: ten thousand workers wait on one each, and an `AbortController` with its listener takes 0.9 KiB (bench/README.md). */
export class Leaving implements LeaveSignal {
	aborted = false;
	private listeners = nobody;

	addEventListener(_type: "abort", listener: () => void): void {
		if (!this.aborted && !this.listeners.includes(listener)) this.listeners = [...this.listeners, listener];
	}

	removeEventListener(_type: "abort", listener: () => void): void {
		const others = this.listeners.filter((other) => other !== listener);
		this.listeners = others.length === 0 ? nobody : others;
	}

	/** The reader leaves. Idempotent. */
	abort(): void {
		if (this.aborted) return;
		this.aborted = true;
		const { listeners } = this;
		this.listeners = nobody;
		for (const listener of listeners) listener();
	}
}
