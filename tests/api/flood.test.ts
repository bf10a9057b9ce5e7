import { expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { fingerprint, mintToken, parseToken } from "../../src/protocol/token.ts";
import { enrollInput, hex, newEnrollmentKey, rowCount } from "../support/pipeline.ts";
import { enroll, metric, newSite, onEachRuntime } from "./support.ts";

const guesses = 10_000;
const addresses = 5_000;
const atOnce = 50;
/** After so many guesses everything has been compiled and the heap has the size that this load takes. */
const warmUp = 2_000;
const honest = 20;
/**
 * What the server may grow by from then on. The limiter keeps two buckets of about 200 bytes for each address and kind of key, 3 MB in all.
 * The rest is garbage that the runtime collects when it likes: 35 MB on Bun and 58 MB on Deno when this was written.
 */
const growthMax = 150 * 1_024 * 1_024;
const minutesForSlowMachines = 300_000;

/** Distinct and of no other test: 10.0.0.0/8. */
const addressOf = (index: number) => `10.${(index >> 16) & 255}.${(index >> 8) & 255}.${index & 255}`;

async function rssBytes(pid: number): Promise<number> {
	return Number(/VmRSS:\s+(\d+) kB/.exec(await readFile(`/proc/${pid}/status`, "utf8"))?.[1]) * 1_024;
}

/** This key's selector with a secret that is not its own. One in 65,536 would share its fingerprint and so earn an Argon2id: none of these. */
function wrongSecret(text: string): string {
	const token = parseToken(text);
	if (token === undefined) throw new Error("This is no token");
	for (;;) {
		const entropy = Buffer.concat([Buffer.from(token.selector, "hex"), randomBytes(32)]);
		if (fingerprint(entropy.subarray(6).toString("hex")) !== fingerprint(token.secret)) return mintToken(token.kind, entropy).text;
	}
}

onEachRuntime("ten thousand wrong keys from five thousand addresses", (bench) => {
	test(
		"shut out no honest worker, cost no Argon2id, are each on record, and leave the server's memory bounded (S6, B3, H8)",
		async () => {
			const { server, database } = bench;
			const site = await newSite(server);
			const rows = await database.db.sql`select id from sites where code = ${site.siteCode}`;
			const enrollmentKey = (await newEnrollmentKey(database.db, { siteId: String(rows[0]?.["id"]) })).key;
			const claim = (credential: object) => ({ ...enrollInput(site), credential });
			const bySite = (key: string) => claim({ siteKey: { siteCode: site.siteCode, key } });
			const kinds = [
				() => bySite(mintToken("site", randomBytes(38)).text),
				() => bySite(wrongSecret(site.key)),
				() => bySite(`${wrongSecret(site.key).slice(0, -1)}x`),
				() => claim({ enrollmentKey: mintToken("enroll", randomBytes(38)).text }),
				() => claim({ enrollmentKey: wrongSecret(enrollmentKey) }),
				() => claim({ enrollmentKey: hex(20) }),
			];
			const rejections = 'muster_enroll_rejections_total{reason="invalid_token"}';
			const refused = async () => Number(await metric(server, rejections));
			// One guess of each kind, so that what is compiled on first use counts as there before.
			for (const [index, kind] of kinds.entries()) expect((await enroll(server, kind(), addressOf(addresses + index))).status).toBe(401);
			const [argon2Before, refusedBefore] = [await metric(server, "muster_argon2_verifications_total"), await refused()];

			const statuses = new Map<number, number>();
			const letIn: Promise<string>[] = [];
			let sent = 0;
			let rssWarm = 0;
			const guess = async () => {
				for (let index = sent++; index < guesses; index = sent++) {
					if (index === warmUp) rssWarm = await rssBytes(server.pid);
					// Spread evenly over the whole flood.
					if (index % (guesses / honest) === 0) {
						const robot = enroll(server, enrollInput(site), `192.0.2.${1 + letIn.length}`);
						letIn.push(robot.then(({ data }) => data.enroll.outcome ?? data.enroll.reason));
					}
					const { status } = await enroll(server, kinds[index % kinds.length]?.(), addressOf(index % addresses));
					statuses.set(status, (statuses.get(status) ?? 0) + 1);
				}
			};
			await Promise.all(Array.from({ length: atOnce }, guess));

			expect(await Promise.all(letIn)).toEqual(Array.from({ length: honest }, () => "NEW"));
			expect([...statuses]).toEqual([[401, guesses]]);
			expect((await refused()) - refusedBefore).toBe(guesses);
			const firstSights = (await metric(server, "muster_argon2_verifications_total")) - argon2Before;
			expect(firstSights).toBe(1);
			const recorded = "not accepted and reason = 'invalid_token' and source_address like '10.%'";
			expect(await rowCount(database.db, "attempts", recorded)).toBe(guesses + kinds.length);
			const growth = (await rssBytes(server.pid)) - rssWarm;
			expect(growth).toBeLessThan(growthMax);
		},
		minutesForSlowMachines,
	);
});
