import { describe, expect, test } from "bun:test";
import { SignJWT } from "jose";
import { type Role, roles } from "../../src/auth/principal.ts";
import { mintAdminToken } from "../../src/auth/tokens.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { Secret } from "../../src/lib/secret.ts";
import { type GraphQLReply, graphql } from "../support/muster.ts";
import { enrollInput, hex } from "../support/pipeline.ts";
import { enroll, newSite, onEachRuntime } from "./support.ts";

const jwtSecret = new Secret("a secret of the tests, forty characters.");
const mint = (change: { role?: Role; hours?: number; secret?: Secret } = {}) =>
	mintAdminToken(change.secret ?? jwtSecret, systemClock, {
		role: change.role ?? "admin",
		tenant: "default",
		subject: "tests",
		hours: change.hours ?? 1,
	});

const onHost = (name: string, more = "") => `${name}(input: { hostId: "host_none", container: "c" ${more} }) { command { id } }`;
/** Mutations of workers. */
const ofWorkers = ["enroll", "heartbeat", "reportCommand", "sendCommandOutput", "reportEngine", "reportHostEvents", "reportContainerStats"];

/** Every mutation of an operator, with the role it needs. It names nothing that exists, so that one who may is told NOT_FOUND. */
const mutations: readonly (readonly [string, Role, () => string])[] = [
	["acknowledgeAlert", "operator", () => 'acknowledgeAlert(id: "alrt_none") { alert { id } }'],
	["approveWorker", "operator", () => 'approveWorker(id: "wrk_none") { worker { id } }'],
	["rejectWorker", "operator", () => 'rejectWorker(id: "wrk_none") { worker { id } }'],
	["revokeWorker", "admin", () => 'revokeWorker(id: "wrk_none") { worker { id } }'],
	["deleteWorker", "admin", () => 'deleteWorker(id: "wrk_none") { deletedId }'],
	["createSite", "admin", () => `createSite(input: { code: "s-${hex(6)}" }) { site { id } }`],
	["createFleet", "admin", () => 'createFleet(input: { siteCode: "none", name: "f" }) { fleet { id } }'],
	["rotateSiteKey", "admin", () => 'rotateSiteKey(siteCode: "none") { secret }'],
	["createEnrollmentKey", "admin", () => 'createEnrollmentKey(input: { name: "k", siteCode: "none" }) { secret }'],
	["revokeEnrollmentKey", "admin", () => 'revokeEnrollmentKey(id: "ekey_none") { key { id } }'],
	["configureAutoEnrollment", "admin", () => "configureAutoEnrollment(input: { enabled: false }) { autoEnrollment { enabled } }"],
	["configureTenant", "admin", () => "configureTenant(input: {}) { tenant { id } }"],
	["createApiKey", "admin", () => 'createApiKey(name: "k") { apiKey { id } }'],
	["revokeApiKey", "admin", () => 'revokeApiKey(id: "cred_none") { apiKey { id } }'],
	["createWorker", "admin", () => 'createWorker(input: { name: "w", siteCode: "none" }) { secret }'],
	["resolveCollision", "operator", () => 'resolveCollision(workerId: "wrk_none", verdict: BAN) { worker { id } }'],
	["createHost", "admin", () => 'createHost(input: { name: "h", siteCode: "none" }) { secret }'],
	["regenerateHostToken", "admin", () => 'regenerateHostToken(id: "host_none") { secret }'],
	["deleteHost", "admin", () => 'deleteHost(id: "host_none") { deletedId }'],
	["fuseHost", "admin", () => 'fuseHost(id: "host_none") { host { id } }'],
	["unfuseHost", "admin", () => 'unfuseHost(id: "host_none") { host { id } }'],
	["createWebhook", "admin", () => 'createWebhook(input: { url: "https://hooks.invalid/" }) { webhook { id } }'],
	["deleteWebhook", "admin", () => 'deleteWebhook(id: "whk_none") { deletedId }'],
	["containerLogs", "operator", () => onHost("containerLogs")],
	["inspectContainer", "operator", () => onHost("inspectContainer")],
	["execContainer", "admin", () => onHost("execContainer", 'command: ["ls"]')],
	["createContainer", "admin", () => 'createContainer(input: { hostId: "host_none", image: "i" }) { command { id } }'],
	["startContainer", "admin", () => onHost("startContainer")],
	["stopContainer", "admin", () => onHost("stopContainer")],
	["restartContainer", "admin", () => onHost("restartContainer")],
	["removeContainer", "admin", () => onHost("removeContainer")],
	["pullImage", "admin", () => 'pullImage(input: { hostId: "host_none", image: "i" }) { command { id } }'],
	["cancelCommand", "operator", () => 'cancelCommand(id: "cmd_none") { command { id } }'],
	["sendCommandInput", "admin", () => 'sendCommandInput(commandId: "cmd_none", data: "") { command { id } }'],
	[
		"deployStack",
		"admin",
		() => `deployStack(input: { hostId: "host_none", name: "s", compose: "services: { a: { image: i } }" }) { stack { id } }`,
	],
	["scaleStack", "admin", () => 'scaleStack(input: { hostId: "host_none", name: "s", service: "a", replicas: 1 }) { stack { id } }'],
	["redeployStack", "admin", () => 'redeployStack(input: { hostId: "host_none", name: "s" }) { stack { id } }'],
	["removeStack", "admin", () => 'removeStack(input: { hostId: "host_none", name: "s" }) { stack { id } }'],
	["testWebhook", "admin", () => 'testWebhook(id: "whk_none") { delivery { id } }'],
];
const queries = [
	"sites",
	"workers",
	"hosts",
	"enrollmentAttempts",
	"alerts",
	"auditLog",
	"enrollmentKeys",
	"apiKeys",
	"webhooks",
	"meshNodes",
	"commands",
].map((list) => `${list} { totalCount }`);
const lookups = [
	'site(code: "none") { id }',
	'worker(id: "wrk_none") { id }',
	'host(id: "host_none") { id }',
	'node(id: "wrk_none") { id }',
	'command(id: "cmd_none") { id }',
	'stack(id: "stk_none") { id }',
	"autoEnrollment { enabled }",
	"tenant { slug }",
];

const codeOf = ({ errors }: GraphQLReply) => errors[0]?.extensions?.["code"];
const base64 = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");

onEachRuntime("roles", (bench) => {
	const as = (token: string, operation: string) => graphql(bench.server, operation, {}, { authorization: `Bearer ${token}` });

	describe.each(mutations)("%s needs the role %s (A15)", (_, needed, field) => {
		test.each(roles)("asked by: %s", async (role) => {
			const reply = await as(await mint({ role }), `mutation { ${field()} }`);
			if (roles.indexOf(role) < roles.indexOf(needed)) {
				expect(codeOf(reply)).toBe("FORBIDDEN");
				expect(reply.errors[0]?.message).toContain(needed);
			} else {
				expect([undefined, "NOT_FOUND"]).toContain(codeOf(reply) as string);
			}
		});
	});

	test("every mutation of the schema but those of workers is in the table above", async () => {
		const { data } = await graphql(
			bench.server,
			"{ __schema { mutationType { fields { name } } } }",
			{},
			{ authorization: `Bearer ${await mint()}` },
		);
		const names: string[] = data.__schema.mutationType.fields.map(({ name }: { name: string }) => name);
		expect(names.filter((name) => !ofWorkers.includes(name)).sort()).toEqual(mutations.map(([name]) => name).sort());
	});

	test("a viewer may read everything", async () => {
		const reply = await as(await mint({ role: "viewer" }), `{ ${[...queries, ...lookups].join(" ")} }`);
		expect(reply.errors).toEqual([]);
	});

	test.each([...queries, ...lookups])("without a token nothing is read: %s", async (field) => {
		expect(codeOf(await graphql(bench.server, `{ ${field} }`))).toBe("UNAUTHENTICATED");
	});

	test("a worker's API key reads nothing and changes nothing, and an admin's token sends no heartbeat", async () => {
		const { workerId, apiKey } = (await enroll(bench.server, enrollInput(await newSite(bench.server)))).data.enroll;
		const headers = { authorization: `Bearer ${apiKey}`, "muster-worker-id": String(workerId) };
		for (const field of [...queries, ...lookups])
			expect([field, codeOf(await graphql(bench.server, `{ ${field} }`, {}, headers))]).toEqual([field, "FORBIDDEN"]);
		for (const [name, , field] of mutations) {
			expect([name, codeOf(await graphql(bench.server, `mutation { ${field()} }`, {}, headers))]).toEqual([name, "FORBIDDEN"]);
		}
		expect(codeOf(await as(await mint(), "mutation { heartbeat { nextInSeconds } }"))).toBe("FORBIDDEN");
	});

	describe("a token that is no good is UNAUTHENTICATED and says what to do (A15)", () => {
		const at = Math.floor(Date.now() / 1_000);
		const good = { iss: "muster", aud: "muster", sub: "tests", role: "admin", tenant: "default", iat: at, exp: at + 3_600 };
		const sign = (claims: Record<string, unknown>, alg = "HS256") =>
			new SignJWT(claims).setProtectedHeader({ alg }).sign(new TextEncoder().encode(jwtSecret.reveal()));
		const cases: readonly (readonly [string, () => Promise<string>, string])[] = [
			["expired", () => mint({ hours: -1 }), "has expired"],
			["garbage", async () => "garbage", "npm run token"],
			["signed with another secret", () => mint({ secret: new Secret("b secret of the tests, forty characters.") }), "npm run token"],
			["not signed (alg none)", async () => `${base64({ alg: "none", typ: "JWT" })}.${base64(good)}.`, "npm run token"],
			["with its role changed after signing", async () => forged(await mint({ role: "viewer" })), "npm run token"],
			["of another issuer", () => sign({ ...good, iss: "elsewhere" }), "npm run token"],
			["of another audience", () => sign({ ...good, aud: "elsewhere" }), "npm run token"],
			["of another algorithm", () => sign(good, "HS512"), "npm run token"],
			["of a role that is none", () => sign({ ...good, role: "root" }), "roles are viewer, operator and admin"],
			["without an end", () => sign({ ...good, exp: undefined }), "no usable"],
			["of a tenant that can be none", () => sign({ ...good, tenant: "Not A Slug" }), "no usable"],
			["a worker key's form", async () => "mst_worker_oops", "do not belong together"],
		];
		test.each(cases)("%s", async (_, make, remedy) => {
			const reply = await as(await make(), "{ sites { totalCount } }");
			expect(codeOf(reply)).toBe("UNAUTHENTICATED");
			expect(reply.errors[0]?.message).toContain(remedy);
			expect(reply.data?.sites).toBeUndefined();
		});

		test("the same claims, rightly signed, are let in: each of the cases differs in one thing", async () => {
			expect((await as(await sign(good), "{ sites { totalCount } }")).errors).toEqual([]);
		});
	});
});

function forged(token: string): string {
	const [head, body = "", signature] = token.split(".");
	const claims: unknown = JSON.parse(Buffer.from(body, "base64url").toString("utf8"));
	return [head, base64({ ...Object(claims), role: "admin" }), signature].join(".");
}
