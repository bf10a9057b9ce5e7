import { describe, expect, test } from "bun:test";
import { createClient } from "graphql-ws/client";
import { mintAdminToken } from "../../src/auth/tokens.ts";
import type { Role } from "../../src/auth/principal.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { Secret } from "../../src/lib/secret.ts";
import { type GraphQLReply, graphql, type Muster } from "../support/muster.ts";
import { enrollInput, hex, rowCount } from "../support/pipeline.ts";
import { until } from "../support/until.ts";
import { type Bench, enroll, heartbeat, onEachRuntime } from "./support.ts";

// The secret that tests/support/muster.ts gives to every server.
const jwtSecret = new Secret("a secret of the tests, forty characters.");
const tokenFor = (tenant: string, role: Role = "admin") =>
	mintAdminToken(jwtSecret, systemClock, { tenant, role, subject: `${role} of ${tenant}`, hours: 1 });

interface Tenant {
	readonly slug: string;
	readonly token: string;
	readonly siteCode: string;
	readonly key: string;
}

const ask = (server: Muster, { token }: { readonly token: string }, query: string, variables: object = {}) =>
	graphql(server, query, variables, { authorization: `Bearer ${token}` });

/** A tenant of its own with one site and its key. */
async function newTenant(server: Muster, siteCode = `s-${hex(6)}`): Promise<Tenant> {
	const slug = `t-${hex(6)}`;
	const token = await tokenFor(slug);
	await ask(server, { token }, `mutation { createSite(input: { code: "${siteCode}" }) { site { id } } }`);
	const { data } = await ask(server, { token }, `mutation { rotateSiteKey(siteCode: "${siteCode}") { secret } }`);
	return { slug, token, siteCode, key: data.rotateSiteKey.secret };
}

const inputOf = ({ slug, siteCode, key }: Tenant, more: object = {}) => enrollInput({ tenant: slug, siteCode, key, ...more });

/** A tenant that has one of everything, and the ids of it all. */
async function fullTenant(server: Muster) {
	const tenant = await newTenant(server);
	const requestedId = `mine-${hex(5)}`;
	const name = `robot-${hex(5)}`;
	await enroll(server, inputOf(tenant, { requestedId, name }));
	await enroll(server, inputOf(tenant, { requestedId }));
	await ask(server, tenant, `mutation { createFleet(input: { siteCode: "${tenant.siteCode}", name: "f" }) { fleet { id } } }`);
	const { data } = await ask(
		server,
		tenant,
		"{ sites { nodes { id key { id } fleets { id } } } workers { nodes { id } } hosts { nodes { id } } enrollmentAttempts { nodes { id } } alerts { nodes { id } } auditLog { nodes { id } } }",
	);
	const [site] = data.sites.nodes;
	const first = (list: { nodes: { id: string }[] }) => list.nodes[0]?.id ?? "none";
	const ids = {
		site: String(site.id),
		key: String(site.key.id),
		fleet: String(site.fleets[0].id),
		worker: first(data.workers),
		host: first(data.hosts),
		attempt: first(data.enrollmentAttempts),
		alert: first(data.alerts),
		audit: first(data.auditLog),
	};
	expect(Object.values(ids)).not.toContain("none");
	return { ...tenant, name, ids };
}

/** A reply without what differs by design: the id that was asked for and the request's own id. */
function shape({ status, data, errors }: GraphQLReply, id: string): string {
	return JSON.stringify({ status, data, errors }).replaceAll(id, "<id>");
}

onEachRuntime("tenants", (bench: Bench) => {
	describe("what is another tenant's answers exactly like what does not exist (S10)", () => {
		test("node(id), for every kind of id", async () => {
			const { ids } = await fullTenant(bench.server);
			const other = await newTenant(bench.server);
			for (const [kind, id] of Object.entries(ids)) {
				// Of the same form, so that nothing but existence differs.
				const missing = `${id.slice(0, -4)}zzzz`;
				const query = "query ($id: ID!) { node(id: $id) { __typename id } }";
				const [hidden, none] = [await ask(bench.server, other, query, { id }), await ask(bench.server, other, query, { id: missing })];
				expect([kind, shape(hidden, id)]).toEqual([kind, shape(none, missing)]);
				expect(hidden.data.node).toBeNull();
			}
		});

		test("its owner sees by node(id) what others do not", async () => {
			const owner = await fullTenant(bench.server);
			for (const [kind, id] of Object.entries(owner.ids)) {
				const reply = await ask(bench.server, owner, "query ($id: ID!) { node(id: $id) { id } }", { id });
				expect([kind, reply.data.node?.id]).toEqual([kind, id]);
			}
		});

		test("every look-up and every filter by id, name or site code", async () => {
			const owner = await fullTenant(bench.server);
			const other = await newTenant(bench.server);
			const lookups: readonly (readonly [string, string])[] = [
				["query ($it: ID!) { worker(id: $it) { id } }", owner.ids.worker],
				["query ($it: ID!) { host(id: $it) { id } }", owner.ids.host],
				["query ($it: String!) { host(name: $it) { id } }", owner.name],
				["query ($it: String!) { site(code: $it) { id } }", owner.siteCode],
				["query ($it: String!) { workers(siteCode: $it) { totalCount nodes { id } } }", owner.siteCode],
				["query ($it: String!) { workers(name: $it) { totalCount nodes { id } } }", owner.name],
				["query ($it: String!) { hosts(siteCode: $it) { totalCount nodes { id } } }", owner.siteCode],
				["query ($it: String!) { enrollmentAttempts(siteCode: $it) { totalCount nodes { id } } }", owner.siteCode],
			];
			for (const [query, it] of lookups) {
				const missing = `${it.slice(0, -4)}zzzz`;
				const [hidden, none] = [await ask(bench.server, other, query, { it }), await ask(bench.server, other, query, { it: missing })];
				expect([query, shape(hidden, it)]).toEqual([query, shape(none, missing)]);
				expect(JSON.stringify((await ask(bench.server, owner, query, { it })).data)).not.toBe(JSON.stringify(hidden.data));
			}
		});

		test("every mutation, and nothing of the owner's changes", async () => {
			const owner = await fullTenant(bench.server);
			const other = await newTenant(bench.server);
			const everything =
				"{ sites { nodes { id key { id version } fleets { id } } } workers { nodes { id state } } alerts { nodes { id acknowledgedAt } } }";
			const before = await ask(bench.server, owner, everything);
			const mutations: readonly (readonly [string, string])[] = [
				["mutation ($it: ID!) { approveWorker(id: $it) { worker { id } } }", owner.ids.worker],
				["mutation ($it: ID!) { rejectWorker(id: $it) { worker { id } } }", owner.ids.worker],
				["mutation ($it: ID!) { revokeWorker(id: $it) { worker { id } } }", owner.ids.worker],
				["mutation ($it: ID!) { deleteWorker(id: $it) { deletedId } }", owner.ids.worker],
				["mutation ($it: ID!) { acknowledgeAlert(id: $it) { alert { id } } }", owner.ids.alert],
				["mutation ($it: String!) { rotateSiteKey(siteCode: $it) { secret } }", owner.siteCode],
				['mutation ($it: String!) { createFleet(input: { siteCode: $it, name: "g" }) { fleet { id } } }', owner.siteCode],
			];
			for (const [query, it] of mutations) {
				const missing = `${it.slice(0, -4)}zzzz`;
				const [hidden, none] = [await ask(bench.server, other, query, { it }), await ask(bench.server, other, query, { it: missing })];
				expect([query, shape(hidden, it)]).toEqual([query, shape(none, missing)]);
				expect(hidden.errors[0]?.extensions?.["code"]).toBe("NOT_FOUND");
			}
			expect((await ask(bench.server, owner, everything)).data).toEqual(before.data);
		});

		test("lists and counts hold nothing of another tenant", async () => {
			await fullTenant(bench.server);
			const token = await tokenFor(`t-${hex(6)}`);
			const lists = ["sites", "workers", "hosts", "enrollmentAttempts", "alerts", "auditLog"];
			const { data } = await ask(bench.server, { token }, `{ ${lists.map((list) => `${list} { totalCount nodes { id } }`).join(" ")} }`);
			for (const list of lists) expect([list, data[list]]).toEqual([list, { totalCount: 0, nodes: [] }]);
		});

		test("another tenant's cursor gives nothing of its rows", async () => {
			const owner = await fullTenant(bench.server);
			const other = await newTenant(bench.server);
			const { data } = await ask(bench.server, owner, "{ workers { pageInfo { endCursor } } }");
			const page = await ask(bench.server, other, "query ($c: String) { workers(before: $c, last: 5) { nodes { id } } }", {
				c: data.workers.pageInfo.endCursor,
			});
			expect(page.data.workers.nodes).toEqual([]);
		});
	});

	describe("tenants do not meet in enrollment (S10, S1, S4)", () => {
		test("the same site code, worker id, machine uid and enrollment id in two tenants are two of each", async () => {
			const siteCode = `s-${hex(6)}`;
			const [one, two] = [await newTenant(bench.server, siteCode), await newTenant(bench.server, siteCode)];
			const same = { machineUid: `uid-${hex(12)}`, enrollmentId: hex(16), requestedId: `mine-${hex(5)}` };
			for (const tenant of [one, two]) {
				const reply = await enroll(bench.server, inputOf(tenant, same));
				expect([reply.status, reply.data.enroll.outcome, reply.data.enroll.workerId]).toEqual([200, "NEW", same.requestedId]);
			}
			expect(await rowCount(bench.database.db, "workers", `machine_uid = '${same.machineUid}'`)).toBe(2);
		});

		test("a tenant's right key under another tenant's name is refused like an unknown one", async () => {
			const siteCode = `s-${hex(6)}`;
			const [one, two] = [await newTenant(bench.server, siteCode), await newTenant(bench.server, siteCode)];
			const misplaced = await enroll(bench.server, inputOf({ ...one, slug: two.slug }));
			const unknown = await enroll(bench.server, inputOf({ ...one, slug: two.slug, key: "mst_site_oops" }));
			expect(misplaced.data.enroll).toEqual({ ...unknown.data.enroll, serverTime: expect.any(String) });
			expect(misplaced.status).toBe(401);
		});
	});

	describe("subscriptions deliver only what is one's own, whatever their filter names (S10)", () => {
		test.each([
			["enrollmentAttempt", () => "enrollmentAttempt { machineUid }"],
			["hostChanged", () => "hostChanged { name }"],
			["heartbeat by worker ids", (ids: string) => `heartbeat(workerIds: ${ids}) { name }`],
		] as const)("%s", async (_, fieldOf) => {
			const [owner, other] = [await newTenant(bench.server), await newTenant(bench.server)];
			const machines: { readonly tenant: Tenant; readonly workerId: string; readonly apiKey: string }[] = [];
			for (const tenant of [owner, other]) {
				const machineUid = `${tenant.slug}-${hex(6)}`;
				const { workerId, apiKey } = (await enroll(bench.server, inputOf(tenant, { machineUid, name: machineUid }))).data.enroll;
				machines.push({ tenant, workerId: String(workerId), apiKey: String(apiKey) });
			}
			const client = createClient({
				url: `${bench.server.url.replace("http", "ws")}/graphql`,
				webSocketImpl: WebSocket,
				connectionParams: { authorization: `Bearer ${other.token}` },
			});
			const received: string[] = [];
			const query = `subscription { ${fieldOf(JSON.stringify(machines.map(({ workerId }) => workerId)))} }`;
			const problems: unknown[] = [];
			const stop = client.subscribe(
				{ query },
				{ next: (event) => received.push(JSON.stringify(event)), error: (error) => problems.push(error), complete() {} },
			);
			try {
				// The owner acts before the other each time: once the other was told three times, it had the owner's chances too.
				await until("three events", async () => {
					for (const { tenant, ...worker } of machines) {
						const machineUid = `${tenant.slug}-${hex(6)}`;
						await enroll(bench.server, inputOf(tenant, { machineUid, name: machineUid }));
						await heartbeat(bench.server, worker);
					}
					return problems.length > 0 || received.length >= 3;
				});
				expect(problems).toEqual([]);
				expect(received.filter((event) => !event.includes(other.slug))).toEqual([]);
			} finally {
				stop();
				await client.dispose();
			}
		});
	});
});
