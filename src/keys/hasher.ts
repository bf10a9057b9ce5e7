import { hash, verify } from "@node-rs/argon2";
import type { Metrics } from "../metrics/port.ts";

/** Argon2id off the event loop, bounded in how many run and how many wait. */
export interface Hasher {
	/** A PHC string with Argon2id at 19 MiB, 2 passes (OWASP's first recommendation). */
	hash(text: string): Promise<string>;
	/** Whether the text is the hashed one; `saturated` when too many wait already, and then nothing was computed. */
	verify(phc: string, text: string): Promise<boolean | "saturated">;
}

/** Two at once use both cores of the smallest machine we run on; each takes 19 MiB and about 10 ms. */
const runningMax = 2;
/** 256 waiting ones are answered within about 1.5 s; later ones are told to come back. */
const waitingMax = 256;
// The library's default algorithm is Argon2id; the PHC string says so and a test checks it.
const options = { memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const;

/** Opens the pool. Hashing (rotations) always waits its turn; verifying is refused when the queue is full. */
export function openHasher(metrics: Metrics): Hasher {
	let running = 0;
	const waiting: (() => void)[] = [];

	async function turn<T>(work: () => Promise<T>): Promise<T> {
		if (running >= runningMax) {
			await new Promise<void>((resolve) => {
				waiting.push(resolve);
				metrics.argon2Waiting(waiting.length);
			});
		} else {
			running++;
		}
		try {
			return await work();
		} finally {
			const next = waiting.shift();
			metrics.argon2Waiting(waiting.length);
			if (next === undefined) running--;
			else next();
		}
	}

	return {
		hash: (text) => turn(() => hash(text, options)),
		async verify(phc, text) {
			if (waiting.length >= waitingMax) return "saturated";
			return turn(() => {
				metrics.argon2Verification();
				return verify(phc, text);
			});
		},
	};
}
