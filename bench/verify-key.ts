/** How much more than one HMAC-SHA-256 and a constant-time comparison does the hot check of a proven site key cost? (G7) */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { Db } from "../src/db/port.ts";
import { createProver } from "../src/enrollment/prove.ts";
import { systemRandom } from "../src/lib/random.ts";
import { fingerprint, mintToken } from "../src/protocol/token.ts";
import { against, type Ratio } from "./harness.ts";

/** The key's row without a database: the hot path never asks for it, the one first sight does. */
function databaseWith(row: object): Db {
	const sql = () => Promise.resolve([row]);
	return { sql } as unknown as Db;
}

/** Runs the measurement. */
export async function verifyKey(rounds: number, progress: (text: string) => void): Promise<Ratio> {
	const token = mintToken("site", systemRandom.bytes(38));
	const row = { id: "key_1", tenantId: "ten_1", tenantSlug: "default", siteCode: "bench", verifier: "", hint: fingerprint(token.secret) };
	const hasher = { hash: () => Promise.resolve(""), verify: () => Promise.resolve(true) };
	const prover = createProver({ db: databaseWith(row), hasher, random: systemRandom });
	const credential = { siteKey: { siteCode: "bench", key: token.text, tenant: null } };
	const first = await prover.prove(credential);
	if (first.kind !== "proven") throw new Error("The key of the measurement was not proven");
	const memoryKey = systemRandom.bytes(32);
	const expected = createHmac("sha256", memoryKey).update(token.text).digest();
	const bare = () => timingSafeEqual(createHmac("sha256", memoryKey).update(token.text).digest(), expected);
	return against("verify-key", () => prover.prove(credential), bare, rounds, progress);
}
