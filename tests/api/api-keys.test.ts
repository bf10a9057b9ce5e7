import { describe, expect, test } from "bun:test";
import { mintAdminToken } from "../../src/auth/tokens.ts";
import { autoEnrollmentMac } from "../../src/protocol/auto-enroll.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { Secret } from "../../src/lib/secret.ts";
import { parseToken } from "../../src/protocol/token.ts";
import { failureOf } from "../support/failure.ts";
import { asAdmin } from "../support/muster.ts";
import { hex, rowCount } from "../support/pipeline.ts";
import { soon, until } from "../support/until.ts";
import { type Bench, enroll, heartbeat, onEachRuntime } from "./support.ts";

// The secret that tests/support/muster.ts gives to every server.
const jwtSecret = new Secret("a secret of the tests, forty characters.");

type Tenant = Awaited<ReturnType<typeof newTenant>>;

/** A tenant of its own, as its admin reaches it. */
async function newTenant({ url }: { readonly url: string }) {
	const slug = `t-${hex(6)}`;
	return { url, slug, adminToken: await mintAdminToken(jwtSecret, systemClock, { tenant: slug, role: "admin", subject: "a", hours: 1 }) };
}

/** A tenant with auto-enrollment on. */
async function openTenant(server: { readonly url: string }, more: object = {}) {
	const [tenant, secret] = [await newTenant(server), `secret ${hex(16)}`];
	await configure(tenant, { enabled: true, enrollmentSecret: secret, ...more });
	return { ...tenant, secret };
}

const shown = "hasApiKey apiKey { id }";
const configuration = async (tenant: Tenant) => (await asAdmin(tenant, `{ autoEnrollment { ${shown} } }`)).autoEnrollment;

async function configure(tenant: Tenant, input: object) {
	const mutation = `mutation ($input: ConfigureAutoEnrollmentInput!) { configureAutoEnrollment(input: $input) { autoEnrollment { ${shown} } } }`;
	return (await asAdmin(tenant, mutation, { input })).configureAutoEnrollment.autoEnrollment;
}

/** What a machine of its own gets by the tenant's auto-enrollment. */
async function enrolled(tenant: Tenant, said: { slug: string; secret: string; requestedId?: string }) {
	const { slug, secret, requestedId = null } = said;
	const [enrollmentId, worker] = [hex(16), { name: "robot", machineUid: `uid-${hex(12)}`, requestedId }];
	const facts = { tenant: slug, nonce: hex(16), timestamp: new Date().toISOString() };
	const mac = autoEnrollmentMac(secret, { ...facts, enrollmentId, ...worker });
	return (await enroll(tenant, { enrollmentId, credential: { autoEnrollment: { ...facts, mac } }, worker })).data.enroll;
}

async function createWorker(tenant: Tenant, input: object) {
	const mutation =
		"mutation ($input: CreateWorkerInput!) { createWorker(input: $input) { secret worker { id name method autoEnrolled state host { id state } } } }";
	const { secret, worker } = (await asAdmin(tenant, mutation, { input: { name: "robot", ...input } })).createWorker;
	return { worker, workerId: String(worker.id), apiKey: String(secret), secret };
}

async function createKey(tenant: Tenant): Promise<{ id: string; secret: string }> {
	const { secret, apiKey } = (await asAdmin(tenant, 'mutation { createApiKey(name: "of two") { secret apiKey { id } } }')).createApiKey;
	return { id: apiKey.id, secret };
}

/** Two workers on one key that an admin made. */
async function two(tenant: Tenant) {
	const key = await createKey(tenant);
	const [one, other] = [await createWorker(tenant, { apiKeyId: key.id }), await createWorker(tenant, { apiKeyId: key.id })];
	return { key, one: { ...one, apiKey: key.secret }, other: { ...other, apiKey: key.secret } };
}

async function revokeKey(tenant: Tenant, id: string): Promise<string> {
	const mutation = "mutation ($id: ID!) { revokeApiKey(id: $id) { apiKey { revokedAt } } }";
	return (await asAdmin(tenant, mutation, { id })).revokeApiKey.apiKey.revokedAt;
}

/** The code of the error that a heartbeat gets; undefined when it gets none. */
const beatCode = async (tenant: Tenant, worker: { workerId: string; apiKey: string }) =>
	(await heartbeat(tenant, worker)).errors[0]?.extensions?.["code"];

/** A worker's socket. `opened` and `lives()` give "in", or the code it was closed with. */
function connect({ url }: Tenant, { workerId, apiKey, nodeName }: { workerId: string; apiKey: string; nodeName?: string }) {
	const socket = new WebSocket(`${url.replace("http", "ws")}/graphql`, "graphql-transport-ws");
	const closed = new Promise<number>((resolve) => socket.addEventListener("close", ({ code }) => resolve(code)));
	const answer = (type: string, message: object) => {
		const came = new Promise<"in">((resolve) =>
			socket.addEventListener("message", ({ data }) => (JSON.parse(String(data)).type === type ? resolve("in") : undefined)),
		);
		if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
		else socket.addEventListener("open", () => socket.send(JSON.stringify(message)));
		return soon(`${type}, or the end`, Promise.race([came, closed]));
	};
	const opened = answer("connection_ack", { type: "connection_init", payload: { workerId, apiKey, nodeName } });
	return { opened, closed, lives: () => answer("pong", { type: "ping" }), close: () => socket.close() };
}

/** How many rows of all tables hold a text, in clear or, in bytea, as hex. */
async function rowsWith({ db }: Bench["database"], text: string): Promise<number> {
	const tables = await db.sql`select table_name as name from information_schema.tables where table_schema = 'public'`;
	const condition = [text, Buffer.from(text).toString("hex")].map((form) => `it::text like '%${form}%'`).join(" or ");
	const counts = await Promise.all(tables.map(({ name }) => rowCount(db, `${name} it`, condition)));
	return counts.reduce((sum, count) => sum + count, 0);
}

/** The same, closed again. */
function entrance(tenant: Tenant, shownAs: Parameters<typeof connect>[1]): Promise<"in" | number> {
	const socket = connect(tenant, shownAs);
	return socket.opened.finally(socket.close);
}

onEachRuntime("API keys", (bench) => {
	describe("createWorker (A12)", () => {
		test("with an id of one's own: a new key, shown once; the worker waits as PENDING and is MONITORING from its first heartbeat", async () => {
			const tenant = await newTenant(bench.server);
			const id = `mine-${hex(4)}`;
			const made = await createWorker(tenant, { id });
			expect(made.worker).toMatchObject({ id, method: "API_KEY", autoEnrolled: false, state: "ACTIVE", host: { state: "PENDING" } });
			const token = parseToken(made.apiKey);
			expect(token?.kind).toBe("worker");
			const seen = await asAdmin(tenant, "{ apiKeys { nodes { id name hint shared } } auditLog { nodes { action subject detail } } }");
			expect(JSON.stringify(seen)).not.toContain(token?.secret);
			expect(await rowsWith(bench.database, token?.secret ?? "")).toBe(0);
			expect(await beatCode(tenant, made)).toBeUndefined();
			const state = async () =>
				(await asAdmin(tenant, "query ($id: ID!) { worker(id: $id) { host { state } } }", { id })).worker.host.state;
			await until("the host is MONITORING", async () => (await state()) === "MONITORING");
		});

		test("without one: a generated id and a key of its own; it gets in over HTTP and over WebSocket, by id and key alone", async () => {
			const tenant = await newTenant(bench.server);
			const [first, second] = [await createWorker(tenant, {}), await createWorker(tenant, {})];
			expect(second.workerId).not.toBe(first.workerId);
			expect(second.apiKey).not.toBe(first.apiKey);
			for (const worker of [first, second])
				expect([await beatCode(tenant, worker), await entrance(tenant, worker)]).toEqual([undefined, "in"]);
		});

		test("on a key that exists: no secret is shown, both workers of the key get in and are listed by it", async () => {
			const tenant = await newTenant(bench.server);
			const { key, one, other } = await two(tenant);
			expect([one.secret, other.secret]).toEqual([null, null]);
			for (const worker of [one, other]) expect(await beatCode(tenant, worker)).toBeUndefined();
			const { workers } = await asAdmin(tenant, "query ($id: ID) { workers(apiKeyId: $id) { nodes { id } } }", { id: key.id });
			expect(workers.nodes).toEqual([{ id: other.workerId }, { id: one.workerId }]);
		});

		test("a taken id is CONFLICT, naming it, and leaves no key behind", async () => {
			const tenant = await newTenant(bench.server);
			const id = `mine-${hex(4)}`;
			await createWorker(tenant, { id });
			const refused = String(await failureOf(createWorker(tenant, { id })));
			for (const part of ["CONFLICT", id]) expect(refused).toContain(part);
			expect((await asAdmin(tenant, "{ apiKeys { totalCount } }")).apiKeys.totalCount).toBe(1);
		});

		test("a revoked, unknown or foreign key is NOT_FOUND, and no worker is made", async () => {
			const [tenant, elsewhere] = [await newTenant(bench.server), await newTenant(bench.server)];
			const [revoked, foreign] = [await createKey(tenant), await createKey(elsewhere)];
			await revokeKey(tenant, revoked.id);
			for (const apiKeyId of [revoked.id, "crd_none", foreign.id]) {
				const refused = String(await failureOf(createWorker(tenant, { apiKeyId })));
				for (const part of ["NOT_FOUND", apiKeyId]) expect(refused).toContain(part);
			}
			expect((await asAdmin(tenant, "{ workers { totalCount } }")).workers.totalCount).toBe(0);
		});
	});

	describe("who is let in on a key (A12, H9)", () => {
		test("an id of another worker, no id, or a wrong key is refused: UNAUTHENTICATED over HTTP, 4403 over WebSocket", async () => {
			const tenant = await newTenant(bench.server);
			const [one, other] = [await createWorker(tenant, {}), await createWorker(tenant, {})];
			const wrong = [
				{ workerId: other.workerId, apiKey: one.apiKey },
				{ workerId: "", apiKey: one.apiKey },
				{ workerId: one.workerId, apiKey: `${one.apiKey.slice(0, -1)}x` },
				{ workerId: one.workerId, apiKey: "not a key of anybody, but long enough" },
			];
			for (const shownAs of wrong) {
				expect([shownAs, await beatCode(tenant, shownAs)]).toEqual([shownAs, "UNAUTHENTICATED"]);
				expect([shownAs, await entrance(tenant, shownAs)]).toEqual([shownAs, 4403]);
			}
		});

		test("a node name is not needed on the socket; one that is given must be the worker's", async () => {
			const tenant = await newTenant(bench.server);
			const worker = await createWorker(tenant, { name: "robot 7" });
			for (const nodeName of ["robot 7", undefined]) {
				const shownAs = { ...worker, ...(nodeName === undefined ? {} : { nodeName }) };
				expect([nodeName, await entrance(tenant, shownAs)]).toEqual([nodeName, "in"]);
			}
			expect(await entrance(tenant, { ...worker, nodeName: "robot 8" })).toBe(4403);
		});

		test("a key shows when it was last used", async () => {
			const tenant = await newTenant(bench.server);
			const { one } = await two(tenant);
			const lastUsed = async () => (await asAdmin(tenant, "{ apiKeys { nodes { lastUsedAt } } }")).apiKeys.nodes[0].lastUsedAt;
			expect(await lastUsed()).toBeNull();
			await heartbeat(tenant, one);
			await until("the use is noted", async () => (await lastUsed()) !== null);
		});
	});

	test("revokeApiKey closes the sockets of all its workers with 4423, ends the key for good, and may be repeated", async () => {
		const tenant = await newTenant(bench.server);
		const { key, one, other } = await two(tenant);
		const bystander = await createWorker(tenant, {});
		const [first, second, third] = [connect(tenant, one), connect(tenant, other), connect(tenant, bystander)];
		expect(await Promise.all([first.opened, second.opened, third.opened])).toEqual(["in", "in", "in"]);
		const revokedAt = await revokeKey(tenant, key.id);
		expect(await soon("both sockets close", Promise.all([first.closed, second.closed]))).toEqual([4423, 4423]);
		for (const worker of [one, other]) expect(await beatCode(tenant, worker)).toBe("UNAUTHENTICATED");
		expect([await third.lives(), await beatCode(tenant, bystander)]).toEqual(["in", undefined]);
		third.close();
		expect(await revokeKey(tenant, key.id)).toBe(revokedAt);
		expect(await rowCount(bench.database.db, "audit", `action = 'api_key.revoked' and subject = '${key.id}'`)).toBe(1);
		expect(String(await failureOf(revokeKey(tenant, "crd_none")))).toContain("NOT_FOUND");
	});

	test.each([
		["revokeWorker", "{ worker { id } }"],
		["deleteWorker", "{ deletedId }"],
	])("%s of one of two workers on a key leaves the other alone", async (act, selection) => {
		const tenant = await newTenant(bench.server);
		const { one, other } = await two(tenant);
		const [cut, kept] = [connect(tenant, one), connect(tenant, other)];
		expect(await Promise.all([cut.opened, kept.opened])).toEqual(["in", "in"]);
		await asAdmin(tenant, `mutation ($id: ID!) { ${act}(id: $id) ${selection} }`, { id: one.workerId });
		expect(await soon("the socket closes", cut.closed)).toBe(4423);
		expect(await beatCode(tenant, one)).toBe("UNAUTHENTICATED");
		expect([await kept.lives(), await beatCode(tenant, other)]).toEqual(["in", undefined]);
		kept.close();
	});

	test("a shared key of the admin's own words stands nowhere in clear (A2) and lets in by worker id and text; the same words in two tenants do not cross", async () => {
		const enrollmentApiKey = `the very same words ${hex(12)}`.replaceAll(" ", "-");
		const tenants = [await openTenant(bench.server, { enrollmentApiKey }), await openTenant(bench.server, { enrollmentApiKey })] as const;
		const [mine, theirs] = [await enrolled(tenants[0], tenants[0]), await enrolled(tenants[1], tenants[1])];
		for (const worker of [mine, theirs]) {
			expect([worker.apiKey, await rowsWith(bench.database, enrollmentApiKey)]).toEqual([enrollmentApiKey, 0]);
			expect([await entrance(tenants[0], worker), await beatCode(tenants[0], worker)]).toEqual(["in", undefined]);
		}
		const heard = async (tenant: Tenant) => (await asAdmin(tenant, "{ workers { nodes { id lastHeartbeatAt } } }")).workers.nodes;
		for (const [tenant, { workerId }] of [[tenants[0], mine] as const, [tenants[1], theirs] as const]) {
			await until("its own worker is heard", async () => (await heard(tenant))[0].lastHeartbeatAt !== null);
			expect(await heard(tenant)).toEqual([{ id: workerId, lastHeartbeatAt: expect.any(String) }]);
		}
		await revokeKey(tenants[1], (await configuration(tenants[1])).apiKey.id);
		expect([await beatCode(tenants[0], mine), await beatCode(tenants[0], theirs)]).toEqual([undefined, "UNAUTHENTICATED"]);
		expect(await beatCode(tenants[0], { ...mine, apiKey: `${enrollmentApiKey}.` })).toBe("UNAUTHENTICATED");
	});

	test("the same words and the same worker id in two tenants let neither in: nobody could say which of them asks", async () => {
		const [enrollmentApiKey, requestedId] = [`the-very-same-words-${hex(12)}`, `mine-${hex(4)}`];
		const first = await openTenant(bench.server, { enrollmentApiKey });
		const worker = await enrolled(first, { ...first, requestedId });
		expect(await beatCode(first, worker)).toBeUndefined();
		const second = await openTenant(bench.server, { enrollmentApiKey });
		expect((await enrolled(second, { ...second, requestedId })).workerId).toBe(requestedId);
		expect(await beatCode(first, worker)).toBe("UNAUTHENTICATED");
	});

	describe("hands out one API key (A2, A5)", () => {
		test("the first enrollment mints it, the next worker gets the same; both work; no column of any table holds it in clear", async () => {
			const tenant = await openTenant(bench.server);
			const [first, second] = [await enrolled(tenant, tenant), await enrolled(tenant, tenant)];
			expect(second.apiKey).toBe(first.apiKey);
			expect(second.workerId).not.toBe(first.workerId);
			for (const worker of [first, second]) expect((await heartbeat(tenant, worker)).errors).toEqual([]);
			expect(await rowsWith(bench.database, parseToken(first.apiKey)?.secret ?? first.apiKey)).toBe(0);
			expect(await rowsWith(bench.database, tenant.secret)).toBe(0);
			expect(await rowsWith(bench.database, first.workerId)).toBeGreaterThan(0);
		});

		test("after a new one, workers on the old go on and are listed by it until it is revoked: UNAUTHENTICATED, and the open socket is closed with 4423", async () => {
			const tenant = await openTenant(bench.server);
			const old = await enrolled(tenant, tenant);
			const { id: oldId } = (await configuration(tenant)).apiKey;
			expect((await configure(tenant, { enabled: true, newApiKey: true })).apiKey.id).not.toBe(oldId);
			const young = await enrolled(tenant, tenant);
			expect(young.apiKey).not.toBe(old.apiKey);
			for (const worker of [old, young]) expect((await heartbeat(tenant, worker)).errors).toEqual([]);
			const { workers } = await asAdmin(tenant, "query ($id: ID) { workers(apiKeyId: $id) { nodes { id } } }", { id: oldId });
			expect(workers.nodes).toEqual([{ id: old.workerId }]);
			const socket = connect(tenant, old);
			expect(await socket.opened).toBe("in");
			await revokeKey(tenant, oldId);
			expect(await soon("the socket closes", socket.closed)).toBe(4423);
			expect([await beatCode(tenant, old), await beatCode(tenant, young)]).toEqual(["UNAUTHENTICATED", undefined]);
		});

		test("once the current one is revoked, the next enrollment mints another", async () => {
			const tenant = await openTenant(bench.server);
			const first = await enrolled(tenant, tenant);
			const { id } = (await configuration(tenant)).apiKey;
			await revokeKey(tenant, id);
			expect(await configuration(tenant)).toMatchObject({ hasApiKey: false, apiKey: null });
			const next = await enrolled(tenant, tenant);
			expect(next.apiKey).not.toBe(first.apiKey);
			expect((await heartbeat(tenant, next)).errors).toEqual([]);
		});
	});
});
