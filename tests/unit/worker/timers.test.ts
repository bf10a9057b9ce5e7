import { expect, test } from "bun:test";
import { pause, type Timers } from "../../../worker/timers.ts";

/** A signal that counts who listens. */
function counted() {
	const controller = new AbortController();
	const { signal } = controller;
	const listening = new Set<unknown>();
	const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)];
	signal.addEventListener = ((type: string, then: () => void, options: object) => {
		listening.add(then);
		add(type, then, options);
	}) as never;
	signal.removeEventListener = ((type: string, then: () => void) => {
		listening.delete(then);
		remove(type, then);
	}) as never;
	return { controller, signal, listening };
}

function handTimers() {
	const due = new Set<() => void>();
	const timers: Timers = {
		after(_, callback) {
			due.add(callback);
			return () => due.delete(callback);
		},
	};
	return { due, timers };
}

test("H7: a pause that is over leaves nothing at the signal: a worker that waits for its mesh for days looks four times a second", async () => {
	const { signal, listening } = counted();
	const { due, timers } = handTimers();
	for (let times = 0; times < 100; times++) {
		const over = pause(timers, 250, signal);
		for (const fire of due) fire();
		due.clear();
		await over;
	}

	expect(listening.size).toBe(0);
});

test("a pause ends at once when the worker is told to stop, before it or during it, and leaves no timer", async () => {
	const { controller, signal } = counted();
	const { due, timers } = handTimers();
	const during = pause(timers, 250, signal);
	controller.abort();
	await during;
	await pause(timers, 250, signal);

	expect(due.size).toBe(0);
});
