import { randomBytes, randomInt } from "node:crypto";

/** Where randomness comes from. Tests hand in a seeded one; the real one is the operating system's. */
export interface Random {
	/** Cryptographically strong bytes. */
	bytes(length: number): Uint8Array;
	/** A number in [0, 1), for jitter; never for secrets. */
	fraction(): number;
}

/** The operating system's randomness. */
export const systemRandom: Random = {
	bytes: (length) => randomBytes(length),
	fraction: () => randomInt(0, 2 ** 32) / 2 ** 32,
};
