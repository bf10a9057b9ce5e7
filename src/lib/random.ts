import { randomBytes, randomInt } from "node:crypto";

/** Where randomness comes from. Tests hand in a seeded one; the real one is the operating system's. */
export interface Random {
	/** Cryptographically strong bytes. */
	bytes(length: number): Uint8Array;
	/** A number in [0, 1), for jitter; never for secrets. */
	fraction(): number;
}

const poolBytes = 8_192;
let pool: Uint8Array = new Uint8Array(0);
let used = 0;

/** The operating system's randomness. Small pieces come from a larger one, drawn at once; what was handed out is wiped there. */
export const systemRandom: Random = {
	bytes(length) {
		if (length > poolBytes / 8) return randomBytes(length);
		if (used + length > pool.length) {
			pool = randomBytes(poolBytes);
			used = 0;
		}
		const piece = pool.subarray(used, used + length);
		const own = new Uint8Array(piece);
		piece.fill(0);
		used += length;
		return own;
	},
	fraction: () => randomInt(0, 2 ** 32) / 2 ** 32,
};
