import { describe, expect, test } from "bun:test";
import { createAuthenticator } from "../../src/auth/authenticate.ts";
import type { EnrollResult } from "../../src/enrollment/result.ts";
import { createHost, deleteHost, regenerateHostToken } from "../../src/hosts/onboarding.ts";
import { failureOf } from "../support/failure.ts";
import { admin, enrollInput, hex, holding, lockWaiters, rowCount, sharedSecret } from "../support/pipeline.ts";
import { type TwoServers, twoServers } from "../support/two-servers.ts";

let { database, left, right } = {} as TwoServers;
twoServers((opened) => {
	({ database, left, right } = opened);
});

interface Waiting {
	readonly id: string;
	readonly name: string;
	readonly token: string;
}

async function newHost(): Promise<Waiting> {
	const name = `host-${hex(6)}`;
	const { host, secret } = await createHost(left.deps, admin, { name });
	return { id: host.id, name, token: secret };
}

function enroll({ name }: Pick<Waiting, "name">, token: string): Promise<EnrollResult> {
	const { enrollmentId, worker } = enrollInput({ siteCode: "", key: "", name, hostname: name });
	return left.enroller.enroll({ enrollmentId, worker, credential: { hostToken: { token, sharedSecret } } }, "192.0.2.1");
}

async function enrolled(
	result: Promise<EnrollResult>,
): Promise<{ readonly workerId: string; readonly apiKey: string; readonly outcome: string }> {
	const found = await result;
	if (found.kind !== "enrolled" || found.apiKey === null) throw new Error(JSON.stringify(found));
	return { workerId: found.workerId, apiKey: found.apiKey, outcome: found.outcome };
}

/** Who the holder of an API key is to the other server. */
async function login({ workerId, apiKey }: { readonly workerId: string; readonly apiKey: string }): Promise<string> {
	const never = { verify: () => Promise.reject(new Error("An API key is no admin token")) };
	const shown = { bearer: apiKey, workerId, nodeName: undefined, sourceAddress: "192.0.2.1" };
	return (await createAuthenticator(right.deps, never).authenticate(shown)).kind;
}

/** Two who want the host's token at once, in the order in which they queue for its row. */
async function inOrder<A, B>(hostId: string, first: () => Promise<A>, second: () => Promise<B>): Promise<readonly [A, B]> {
	const lock = await holding(database.db, `select id from keys where host_id = '${hostId}' for update`);
	const begun = first();
	await lockWaiters(database.db, 1);
	const next = second();
	await lockWaiters(database.db, 2);
	await lock.release();
	return [await begun, await next];
}

const live = "kind = 'host' and consumed_at is null and revoked_at is null";

describe("a host's token is used while it is regenerated (H1, H3, H6)", () => {
	test("regenerated first: the old token is refused as revoked, and the new one lets the worker in", async () => {
		const host = await newHost();
		const [made, result] = await inOrder(
			host.id,
			() => regenerateHostToken(right.deps, admin, { id: host.id }),
			() => enroll(host, host.token),
		);
		expect(result).toMatchObject({ kind: "rejected", reason: "revoked" });
		expect(await rowCount(database.db, "hosts", `id = '${host.id}' and state = 'PENDING' and worker_id is null`)).toBe(1);
		expect(await enrolled(enroll(host, made.secret))).toMatchObject({ outcome: "NEW" });
		expect(await rowCount(database.db, "hosts", `id = '${host.id}' and state = 'MONITORING'`)).toBe(1);
		expect(await enroll(host, made.secret)).toMatchObject({ kind: "rejected", reason: "already_consumed" });
	});

	test("used first: the worker is in; the new token lets another machine go on as it, and its old API key ends once the new one is used", async () => {
		const host = await newHost();
		const [first, made] = await inOrder(
			host.id,
			() => enrolled(enroll(host, host.token)),
			() => regenerateHostToken(right.deps, admin, { id: host.id }),
		);
		expect(first.outcome).toBe("NEW");
		expect(await login(first)).toBe("worker");
		const second = await enrolled(enroll(host, made.secret));
		expect(second).toMatchObject({ outcome: "REUSED", workerId: first.workerId });
		expect([await login(first), await login(second), await login(first)]).toEqual(["worker", "worker", "anonymous"]);
		expect(await rowCount(database.db, "credentials", `worker_id = '${first.workerId}' and revoked_at is null`)).toBe(1);
		expect(await rowCount(database.db, "hosts", `id = '${host.id}' and worker_id = '${first.workerId}' and state = 'MONITORING'`)).toBe(1);
		expect(await rowCount(database.db, "keys", `host_id = '${host.id}' and ${live}`)).toBe(0);
	});

	test.each([false, true])(
		"of two who regenerate at once (used before: %p) one gets a token that works: a host has one live token",
		async (used) => {
			const host = await newHost();
			if (used) await enrolled(enroll(host, host.token));
			// The first waits for the host, with its new token not yet there; the second must not pass it by.
			const lock = await holding(database.db, `select id from hosts where id = '${host.id}' for update`);
			const both = [left, right].map(({ deps }) => regenerateHostToken(deps, admin, { id: host.id }));
			await lockWaiters(database.db, 2);
			await lock.release();
			const made = await Promise.all(both);
			expect(await rowCount(database.db, "keys", `host_id = '${host.id}' and ${live}`)).toBe(1);
			const results = [];
			for (const { secret } of made) results.push(await enroll(host, secret));
			expect(results.map((result) => (result.kind === "rejected" ? result.reason : result.kind)).sort()).toEqual(["enrolled", "revoked"]);
		},
	);
});

describe("a host is deleted while its token is used (H1, H3, H6)", () => {
	const nothingIsLeft = async ({ id, name }: Waiting) => {
		expect(await rowCount(database.db, "hosts", `id = '${id}' or name = '${name}'`)).toBe(0);
		expect(await rowCount(database.db, "workers", `name = '${name}'`)).toBe(0);
		expect(await rowCount(database.db, "keys", `host_id = '${id}'`)).toBe(0);
	};

	test("deleted first: the token is refused and makes neither worker nor host", async () => {
		const host = await newHost();
		const [, result] = await inOrder(
			host.id,
			() => deleteHost(right.deps, admin, host.id),
			() => enroll(host, host.token),
		);
		expect(result).toMatchObject({ kind: "rejected", reason: "invalid_token" });
		await nothingIsLeft(host);
	});

	test("used first: the worker was let in and is cut off, and nothing of it is left", async () => {
		const host = await newHost();
		const [first] = await inOrder(
			host.id,
			() => enrolled(enroll(host, host.token)),
			() => deleteHost(right.deps, admin, host.id),
		);
		expect(await login(first)).toBe("anonymous");
		expect(await rowCount(database.db, "credentials", `worker_id = '${first.workerId}'`)).toBe(0);
		await nothingIsLeft(host);
	});

	test("regenerated first, then deleted: no token outlives the host", async () => {
		const host = await newHost();
		const [made] = await inOrder(
			host.id,
			() => regenerateHostToken(left.deps, admin, { id: host.id }),
			() => deleteHost(right.deps, admin, host.id),
		);
		expect(made.host.id).toBe(host.id);
		expect(await enroll(host, made.secret)).toMatchObject({ kind: "rejected" });
		await nothingIsLeft(host);
	});
});

test("H1: of two hosts made at once with one name, one is made and the other is a CONFLICT that names it", async () => {
	const name = `host-${hex(6)}`;
	const lock = await holding(database.db, `select pg_advisory_xact_lock(hashtextextended('host ${admin.tenantId} ${name}', 0))`);
	const both = Promise.allSettled([left, right].map(({ deps }) => createHost(deps, admin, { name })));
	await lockWaiters(database.db, 2);
	await lock.release();
	const [made, refused] = (await both).sort((one) => (one.status === "fulfilled" ? -1 : 1));
	if (made?.status !== "fulfilled" || refused === undefined) throw new Error(JSON.stringify([made, refused]));
	expect(
		await failureOf(Promise.resolve(refused).then((one) => (one.status === "rejected" ? Promise.reject(one.reason) : one))),
	).toMatchObject({
		code: "CONFLICT",
		message: expect.stringContaining(made.value.host.id),
	});
	expect(await rowCount(database.db, "hosts", `name = '${name}'`)).toBe(1);
	expect(await rowCount(database.db, "keys", `host_id = '${made.value.host.id}' and ${live}`)).toBe(1);
});
