/** A bounded number of works at once, and a bounded wait for a turn. */
export interface Permits {
	/** Runs `work` when it is its turn. Rejects with NoPermit when too many wait, or its turn has not come in time; then it never runs. */
	run<T>(work: () => Promise<T>): Promise<T>;
}

/** It was not run: there were too many before it. */
export class NoPermit extends Error {
	constructor(message: string) {
		super(message);
		this.name = "NoPermit";
	}
}

/** Makes them. Turns come in the order of asking. */
export function permits(limits: { readonly running: number; readonly waiting: number; readonly waitMs: number }): Permits {
	let running = 0;
	const queue: (() => void)[] = [];

	function turn(): Promise<void> {
		if (running < limits.running) {
			running++;
			return Promise.resolve();
		}
		if (queue.length >= limits.waiting) return Promise.reject(new NoPermit(`${limits.waiting} calls wait already`));
		return new Promise((resolve, reject) => {
			const timer = setTimeout(() => {
				queue.splice(queue.indexOf(mine), 1);
				reject(new NoPermit(`no turn came within ${limits.waitMs} ms`));
			}, limits.waitMs);
			const mine = () => {
				clearTimeout(timer);
				resolve();
			};
			queue.push(mine);
		});
	}

	return {
		async run(work) {
			await turn();
			try {
				return await work();
			} finally {
				// The permit passes on to the next; without one it is free.
				const next = queue.shift();
				if (next === undefined) running--;
				else next();
			}
		},
	};
}
