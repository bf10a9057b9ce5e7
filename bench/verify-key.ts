/** How much more than one HMAC-SHA-256 and a constant-time comparison does the hot check of a proven site key cost? (G7) */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { Db } from "../src/db/port.ts";
import { parseEnroll } from "../src/enrollment/input.ts";
import { createProver } from "../src/enrollment/prove.ts";
import { openVault } from "../src/keys/vault.ts";
import { openLog } from "../src/lib/log.ts";
import { systemClock } from "../src/lib/clock.ts";
import { systemRandom } from "../src/lib/random.ts";
import { Secret } from "../src/lib/secret.ts";
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
	const row = {
		id: "key_1",
		tenantId: "ten_1",
		tenantSlug: "default",
		siteCode: "bench",
		verifier: "",
		hint: fingerprint(token.secret),
		kind: "site",
		selector: token.selector,
	};
	const hasher = { hash: () => Promise.resolve(""), verify: () => Promise.resolve(true) };
	const prover = createProver({
		db: databaseWith(row),
		hasher,
		random: systemRandom,
		log: openLog({ level: "error", format: "text" }, () => {}),
		clock: systemClock,
		vault: openVault(new Secret(Buffer.from(systemRandom.bytes(32)).toString("base64")), [], systemRandom),
		settings: {
			externalWorkers: true,
			autoEnrollmentAlertHours: 24,
			webhookPrivateAddresses: false,
			fuseDeadlineSeconds: 120,
			portainer: null,
			heartbeatSeconds: 15,
			staleSeconds: 90,
			serverAddress: null,
			sharedSecret: null,
			publicUrl: () => "",
		},
	});
	const parsed = parseEnroll({
		enrollmentId: "0".repeat(32),
		credential: { siteKey: { siteCode: "bench", key: token.text } },
		worker: { name: "bench", machineUid: "bench-machine" },
	});
	if (!parsed.ok) throw new Error(parsed.problems.join("; "));
	const { input } = parsed;
	const first = await prover.prove(input);
	if (first.kind !== "proven") throw new Error("The key of the measurement was not proven");
	const memoryKey = systemRandom.bytes(32);
	const expected = createHmac("sha256", memoryKey).update(token.text).digest();
	const bare = () => timingSafeEqual(createHmac("sha256", memoryKey).update(token.text).digest(), expected);
	return against("verify-key", () => prover.prove(input), bare, rounds, progress);
}
