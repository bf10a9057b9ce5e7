/** Fills the server's Argon2id pool for as long as a test needs it. */
import { randomBytes } from "node:crypto";
import { connect } from "node:net";
import { hash } from "@node-rs/argon2";
import { fingerprint, mintToken } from "../../src/protocol/token.ts";
import { enrollMutation, type Muster } from "../support/muster.ts";
import { hex } from "../support/pipeline.ts";
import { until } from "../support/until.ts";
import type { Stage } from "./refusals-ways.ts";
import { metric, newSource } from "./support.ts";

/** The pool's size and how many may wait for it (src/keys/hasher.ts). */
const [running, waiting] = [2, 256];
/** About four seconds of one core; the ones that wait take a millisecond each. */
const slowPasses = 4_000_000;

/**
 * Runs `work` while two Argon2id verifications run and 256 wait. They are first sights of keys that look right (the fingerprint is) and are
 * not, of a site's former keys put into the database; the verifiers of two of them are made to take seconds.
 */
export async function saturateArgon2<T>({ server, database }: Stage, siteCode: string, work: () => Promise<T>): Promise<T> {
	const quick = await hash("another secret", { memoryCost: 8, timeCost: 1, parallelism: 1 });
	const slow = quick.replace(",t=1,", `,t=${slowPasses},`);
	const tokens = Array.from({ length: running + waiting }, () => mintToken("site", randomBytes(38)));
	const keys = tokens.map(({ selector, secret }, index) => ({
		selector,
		id: `key_${hex(10)}`,
		hint: fingerprint(secret),
		verifier: index < running ? slow : quick,
		version: 1_000 + index,
	}));
	await database.db.sql`
		insert into keys (id, tenant_id, kind, site_id, name, selector, verifier, hint, version, active, created_at)
		select r.id, s.tenant_id, 'site', s.id, 'a former key', r.selector, r.verifier, r.hint, r.version, false, now()
		from jsonb_to_recordset(${database.db.sql.json(keys)}) as r (id text, selector text, verifier text, hint text, version int)
		join sites s on s.code = ${siteCode}`;
	const begun = await metric(server, "muster_argon2_verifications_total");
	const send = ({ text }: { readonly text: string }) => postAlone(server, siteCode, text);
	const first = tokens.slice(0, running).map(send);
	await until("the pool is taken", async () => (await metric(server, "muster_argon2_verifications_total")) === begun + running);
	const others = tokens.slice(running).map(send);
	await until("its queue is full", async () => (await metric(server, "muster_argon2_queue")) === waiting);
	const result = await work();
	await Promise.all([...first, ...others]);
	return result;
}

/** An enroll request on a connection of its own: fetch sends no more than 256 at once. Resolves when it was answered. */
function postAlone(server: Muster, siteCode: string, key: string): Promise<void> {
	const input = {
		enrollmentId: hex(16),
		credential: { siteKey: { siteCode, key } },
		worker: { name: "crowd", machineUid: `uid-${hex(12)}` },
	};
	const body = JSON.stringify({ query: enrollMutation, variables: { input } });
	const { hostname, port } = new URL(server.url);
	const headers = [
		"POST /graphql HTTP/1.1",
		`host: ${hostname}:${port}`,
		"content-type: application/json",
		`content-length: ${Buffer.byteLength(body)}`,
		`x-forwarded-for: ${newSource()}`,
		"connection: close",
	];
	return new Promise((resolve, reject) => {
		const socket = connect(Number(port), hostname, () => socket.write(`${headers.join("\r\n")}\r\n\r\n${body}`));
		socket.once("data", () => socket.end());
		socket.once("error", reject).once("close", () => resolve());
	});
}
