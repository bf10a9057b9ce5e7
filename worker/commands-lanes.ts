/** Where commands wait for their turn. */
export interface Lanes {
	/** Has a task run in its turn; false when too many wait already, and then it is not taken. A task never rejects. */
	add(lane: "free" | "ordered", task: () => Promise<void>): boolean;
	/** Begins nothing more. */
	stop(): void;
}

/** Makes the lanes: `ordered` runs one after the other in the order of arrival, `free` up to `freeMax` beside each other; `waitingMax` may wait in each. */
export function lanes(freeMax: number, waitingMax: number): Lanes {
	const lane = { ordered: { limit: 1, running: 0, waiting: [] as Task[] }, free: { limit: freeMax, running: 0, waiting: [] as Task[] } };
	let stopped = false;

	function next(of: Lane): void {
		while (!stopped && of.running < of.limit) {
			const task = of.waiting.shift();
			if (task === undefined) return;
			of.running += 1;
			void task().finally(() => {
				of.running -= 1;
				next(of);
			});
		}
	}

	return {
		add(name, task) {
			const of = lane[name];
			if (of.running >= of.limit && of.waiting.length >= waitingMax) return false;
			of.waiting.push(task);
			next(of);
			return true;
		},
		stop() {
			stopped = true;
		},
	};
}

type Task = () => Promise<void>;
interface Lane {
	readonly limit: number;
	running: number;
	readonly waiting: Task[];
}
