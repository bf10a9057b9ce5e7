/** Workers, hosts and uids that change hands while somebody else looks at them: found by a review, each reproduced before it was mended. */
import { describe, expect, test } from "bun:test";
import { createAuthenticator } from "../../src/auth/authenticate.ts";
import { configureAutoEnrollment } from "../../src/auto-enrollment/auto-enrollment.ts";
import type { EnrollResult } from "../../src/enrollment/result.ts";
import { pruneReplies } from "../../src/enrollment/store.ts";
import { createHost, deleteHost, regenerateHostToken } from "../../src/hosts/onboarding.ts";
import { revokeApiKey } from "../../src/keys/api-keys.ts";
import { rotateSiteKey } from "../../src/keys/keys.ts";
import { autoEnrollmentMac, nonceFor } from "../../src/protocol/auto-enroll.ts";
import { generateReplyKey } from "../../src/protocol/seal.ts";
import { createSite } from "../../src/sites/sites.ts";
import { resolveCollision } from "../../src/workers/collision.ts";
import { deleteWorker } from "../../src/workers/workers.ts";
import { admin, hex, holding, lockWaiters, newEnrollmentKey, newSite, type Pipeline, sharedSecret } from "../support/pipeline.ts";
import { type TwoServers, twoServers } from "../support/two-servers.ts";

let { database, left, right } = {} as TwoServers;
twoServers((opened) => {
	({ database, left, right } = opened);
});

interface Facts {
	readonly name?: string;
	readonly hostname?: string;
	readonly machineUid?: string;
}

function ask(pipeline: Pipeline, facts: Facts, credential: object, enrollmentId = hex(16), replyKey?: string): Promise<EnrollResult> {
	const worker = { name: "robot", hostname: "robot", machineUid: `uid-${hex(12)}`, ...facts };
	return pipeline.enroller.enroll({ enrollmentId, worker, credential, ...(replyKey === undefined ? {} : { replyKey }) }, "192.0.2.1");
}

/** The reply, which has to be an admission. */
async function enrolled(reply: EnrollResult | Promise<EnrollResult>) {
	const result = await reply;
	if (result.kind !== "enrolled") throw new Error(JSON.stringify(result));
	return result;
}

/** The id of the claim, which has to be held. */
async function held(reply: Promise<EnrollResult>): Promise<string> {
	const result = await reply;
	if (result.kind !== "pending") throw new Error(JSON.stringify(result));
	return result.workerId;
}

const why = (reply: EnrollResult) => (reply.kind === "rejected" ? reply.reason : reply.kind);
const byToken = (token: string) => ({ hostToken: { token, sharedSecret } });
const failure = (work: Promise<unknown>) =>
	work.then(
		() => "done",
		(error: unknown) => (error as { code?: string }).code,
	);
const newUid = () => `uid-${hex(12)}`;

async function newHost() {
	const name = `host-${hex(6)}`;
	const { host, secret } = await createHost(left.deps, admin, { name });
	return { id: host.id, name, token: secret };
}

async function newKey() {
	const { siteId } = await newSite(left.deps);
	return { enrollmentKey: (await newEnrollmentKey(database.db, { siteId })).key };
}

async function beat(workerId: string): Promise<void> {
	await database.db.sql`
		insert into heartbeats (tenant_id, worker_id, at) values (${admin.tenantId}, ${workerId}, now())
		on conflict (tenant_id, worker_id) do update set at = now()`;
}

/** Which worker each of these hosts has; a host that is gone is left out. */
async function workersOf(...ids: readonly string[]): Promise<Record<string, string | null>> {
	const rows = await database.db.sql`select id, worker_id from hosts where id = any (${[...ids]}::text[])`;
	return Object.fromEntries(rows.map((row) => [row["id"], row["workerId"]]));
}

async function login(workerId: string, apiKey: string | null): Promise<string> {
	const tokens = { verify: () => Promise.reject(new Error("No operator is expected")) };
	const shown = { bearer: apiKey ?? "", workerId, nodeName: undefined, sourceAddress: "192.0.2.1" };
	return (await createAuthenticator(right.deps, tokens).authenticate(shown)).kind;
}

/** Holds the worker's row, lets `first` wait for it and then `second`, and gives what both came to. */
async function inOrder<A, B>(workerId: string, first: () => Promise<A>, second: () => Promise<B>): Promise<readonly [A, B]> {
	const lock = await holding(database.db, `select 1 from workers where id = '${workerId}' for update`);
	const one = first();
	await lockWaiters(database.db, 1);
	const two = second();
	await lockWaiters(database.db, 2);
	await lock.release();
	return [await one, await two];
}

describe("a worker that moves to another host at this moment", () => {
	test("is admitted by both requests that are under way, and has one host afterwards (H6, G5)", async () => {
		const [host, key] = [await newHost(), await newKey()];
		const facts = { machineUid: newUid(), name: host.name };
		const { workerId, hostId } = await enrolled(ask(left, facts, key));
		const [moved, again] = await inOrder(
			workerId,
			() => ask(left, facts, byToken(host.token)),
			() => ask(right, facts, key),
		);
		expect([(await enrolled(moved)).workerId, (await enrolled(again)).workerId]).toEqual([workerId, workerId]);
		expect(await workersOf(host.id, hostId)).toEqual({ [host.id]: workerId, [hostId]: null });
	});

	test.each(["deleteHost", "deleteWorker"])("is not deleted with the host it had: %s is a CONFLICT (H1)", async (operation) => {
		const [first, second] = [await newHost(), await newHost()];
		const machineUid = newUid();
		const { workerId } = await enrolled(ask(left, { machineUid, name: first.name }, byToken(first.token)));
		const [moved, deleted] = await inOrder(
			workerId,
			() => ask(left, { machineUid, name: second.name }, byToken(second.token)),
			() => failure(operation === "deleteHost" ? deleteHost(right.deps, admin, first.id) : deleteWorker(right.deps, admin, workerId)),
		);
		expect([moved.kind, deleted]).toEqual(["enrolled", "CONFLICT"]);
		expect(await workersOf(first.id, second.id)).toEqual({ [first.id]: null, [second.id]: workerId });
	});

	test("a uid that another server lets in meanwhile is not taken over: the token's machine is told why, not an internal error (S4)", async () => {
		const [host, key] = [await newHost(), await newKey()];
		const { workerId } = await enrolled(ask(left, { name: host.name }, byToken(host.token)));
		const { secret } = await regenerateHostToken(left.deps, admin, { id: host.id });
		const machineUid = newUid();
		const lock = await holding(database.db, `select 1 from workers where id = '${workerId}' for update`);
		const takeover = ask(left, { machineUid, name: host.name }, byToken(secret));
		await lockWaiters(database.db, 1);
		await enrolled(ask(right, { machineUid }, key));
		await lock.release();
		expect(why(await takeover)).toBe("not_allowed");
	});
});

describe("a claimant that was split off (S5)", () => {
	test("keeps its own host when its token was for the incumbent's", async () => {
		const host = await newHost();
		const facts = { machineUid: newUid(), name: host.name };
		const incumbent = await enrolled(ask(left, { ...facts, hostname: "one" }, byToken(host.token)));
		await beat(incumbent.workerId);
		const { secret } = await regenerateHostToken(left.deps, admin, { id: host.id });
		const id = hex(16);
		const claimant = await held(ask(left, { ...facts, hostname: "two" }, byToken(secret), id));
		await resolveCollision(left.deps, admin, claimant, "SPLIT");
		const { hostId } = await enrolled(ask(left, { ...facts, hostname: "two" }, byToken(secret), id));
		expect(await workersOf(host.id, hostId)).toEqual({ [host.id]: incumbent.workerId, [hostId]: claimant });
	});

	test("does not take over another worker's host by that host's token", async () => {
		const [host, key, machineUid] = [await newHost(), await newKey(), newUid()];
		await beat((await enrolled(ask(left, { machineUid, hostname: "one" }, key))).workerId);
		await resolveCollision(left.deps, admin, await held(ask(left, { machineUid, hostname: "two" }, key)), "SPLIT");
		const owner = await enrolled(ask(left, { name: host.name }, byToken(host.token)));
		const { secret } = await regenerateHostToken(left.deps, admin, { id: host.id });
		expect(why(await ask(left, { machineUid, hostname: "two", name: host.name }, byToken(secret)))).toBe("not_allowed");
		expect(await workersOf(host.id)).toEqual({ [host.id]: owner.workerId });
	});
});

describe("a claimant that is adopted (S5)", () => {
	test("goes on as the worker that has the machine now, when the one it collided with was deleted and came back", async () => {
		const [key, machineUid] = [await newKey(), newUid()];
		const incumbent = await enrolled(ask(left, { machineUid, hostname: "one" }, key));
		await beat(incumbent.workerId);
		const claimant = await held(ask(left, { machineUid, hostname: "two" }, key));
		await deleteWorker(left.deps, admin, incumbent.workerId);
		// Held as it is, the claimant's uid is nobody's: its machine may come back under its old hostname.
		const back = await enrolled(ask(left, { machineUid, hostname: "one" }, key));
		expect((await resolveCollision(left.deps, admin, claimant, "ADOPT")).id).toBe(back.workerId);
	});

	test("is told to begin anew when the machine has become another worker's meanwhile", async () => {
		const [host, key, machineUid, id] = [await newHost(), await newKey(), newUid(), hex(16)];
		const incumbent = await enrolled(ask(left, { machineUid, name: host.name, hostname: "one" }, byToken(host.token)));
		await beat(incumbent.workerId);
		await resolveCollision(left.deps, admin, await held(ask(left, { machineUid, hostname: "two" }, key, id)), "ADOPT");
		const { secret } = await regenerateHostToken(left.deps, admin, { id: host.id });
		await enrolled(ask(left, { name: host.name, hostname: "other" }, byToken(secret)));
		await enrolled(ask(left, { machineUid, hostname: "one" }, key));
		expect(why(await ask(left, { machineUid, hostname: "two" }, key, id))).toBe("replayed");
	});
});

describe("credentials that were outdone", () => {
	test("a repeat of an enrollment that another one followed gets no newer credential than that (S4, G6)", async () => {
		const host = await newHost();
		const [id, facts] = [hex(16), { name: host.name, machineUid: newUid() }];
		await enrolled(ask(left, facts, byToken(host.token), id));
		const { secret } = await regenerateHostToken(left.deps, admin, { id: host.id });
		await enrolled(ask(left, { name: host.name }, byToken(secret)));
		expect(why(await ask(left, facts, byToken(host.token), id))).toBe("replayed");
	});

	test("a worker that comes back to the shared API key keeps that one only, and a copied proof is of no use to another reply key (A5, A6)", async () => {
		const [secret, text] = [`the auto-enrollment secret ${hex(16)}`, `own-${hex(20)}`];
		await configureAutoEnrollment(left.deps, admin, { enabled: true, enrollmentSecret: secret, enrollmentApiKey: text });
		const facts = { name: "auto", hostname: "auto", machineUid: newUid() };
		const proof = (enrollmentId: string, nonce = hex(16)) => {
			const timestamp = new Date().toISOString();
			const mac = autoEnrollmentMac(secret, { ...facts, tenant: "default", enrollmentId, requestedId: null, nonce, timestamp });
			return { autoEnrollment: { nonce, timestamp, mac } };
		};
		const byProof = (enrollmentId = hex(16)) => ask(left, facts, proof(enrollmentId), enrollmentId);
		const { workerId } = await enrolled(byProof());
		expect(await login(workerId, text)).toBe("worker");
		const own = await enrolled(ask(left, facts, await newKey()));
		await enrolled(byProof());
		expect([await login(workerId, text), await login(workerId, own.apiKey), await login(workerId, text)]).toEqual([
			"worker",
			"anonymous",
			"worker",
		]);

		const [id, mine, theirs] = [hex(16), (await generateReplyKey()).publicKey, (await generateReplyKey()).publicKey];
		const sent = proof(id, nonceFor(hex(16), mine));
		expect([why(await ask(left, facts, sent, id, theirs)), why(await ask(left, facts, sent, id))]).toEqual(["bad_secret", "bad_secret"]);
		expect((await enrolled(ask(left, facts, sent, id, mine))).workerId).toBe(workerId);

		const [credential] = await database.db.sql`select credential_id as id from auto_enrollment`;
		await revokeApiKey(left.deps, admin, String(credential?.["id"]));
		expect(await failure(configureAutoEnrollment(left.deps, admin, { enabled: true, enrollmentApiKey: text }))).toBe("CONFLICT");
	});
});

describe("what waits under the key's lock", () => {
	test("a known machine under an unfamiliar name is an alert too, and a slow pattern on long names holds nobody up (A14)", async () => {
		const siteCode = `s-${hex(6)}`;
		await createSite(left.deps, admin, { code: siteCode, workerNamePattern: "^good-.*.*.*(?:x|y|z|w|q|r|s|t)$" });
		const siteKey = { siteKey: { siteCode, key: (await rotateSiteKey(left.deps, admin, { siteCode })).secret } };
		const machineUid = newUid();
		await enrolled(ask(left, { machineUid, name: "good-x" }, siteKey));
		await enrolled(ask(left, { machineUid, name: `good-${"a".repeat(240)}` }, siteKey));
		const alerts = await database.db.sql`select message from alerts a join sites s on s.id = a.site_id where s.code = ${siteCode}`;
		expect(alerts).toHaveLength(1);
	});

	test("answers of claims that nobody waits for any more are forgotten after a day, those of waiting ones are not (G6)", async () => {
		const siteCode = `s-${hex(6)}`;
		await createSite(left.deps, admin, { code: siteCode, enrollmentPolicy: "REQUIRE_APPROVAL" });
		const siteKey = { siteKey: { siteCode, key: (await rotateSiteKey(left.deps, admin, { siteCode })).secret } };
		const [waits, gone] = [await held(ask(left, {}, siteKey)), await held(ask(left, {}, siteKey))];
		await deleteWorker(left.deps, admin, gone);
		const ofThese = () => database.db.sql`select worker_id from enrollments where worker_id in (${waits}, ${gone})`;
		await pruneReplies(database.db.sql, Date.now(), 1_000);
		expect(await ofThese()).toHaveLength(2);
		await pruneReplies(database.db.sql, Date.now() + 86_400_000, 1_000);
		expect((await ofThese()).map((row) => row["workerId"])).toEqual([waits]);
	});
});
