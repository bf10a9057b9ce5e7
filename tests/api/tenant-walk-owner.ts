/** Two kinds of tenant for the walk over the schema: one that has one of everything, each with a mark, and one that has next to nothing. */
import { mintAdminToken } from "../../src/auth/tokens.ts";
import type { Role } from "../../src/auth/principal.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { Secret } from "../../src/lib/secret.ts";
import { enrollDocument } from "../../src/protocol/operations.ts";
import { autoEnrollmentMac } from "../../src/protocol/auto-enroll.ts";
import { graphql, type Muster } from "../support/muster.ts";
import { hex, rowCount, sharedSecret } from "../support/pipeline.ts";
import { until } from "../support/until.ts";
import type { FakeHeadscale } from "../support/fakes/headscale.ts";
import type { Receiver } from "../unit/webhooks/receiver.ts";
import { type Bench, enroll, heartbeat, newSource } from "./support.ts";
import { stackFor } from "./tenant-walk-stacks.ts";
import { stock } from "./tenant-walk-stock.ts";
import { withOtherSecret } from "./refusals-ways.ts";

/** What the servers of the walk have: nothing ages while it lasts. */
export const walkEnv = (mesh: FakeHeadscale) => ({
	MUSTER_SHARED_SECRET: sharedSecret,
	MUSTER_WEBHOOK_PRIVATE_ADDRESSES: "on",
	MUSTER_STALE_SECONDS: "86400",
	MUSTER_FUSE_DEADLINE_SECONDS: "3600",
	MUSTER_MESH: "headscale",
	MUSTER_HEADSCALE_URL: mesh.url,
	MUSTER_HEADSCALE_API_KEY: mesh.apiKey,
	MUSTER_HEADSCALE_USER: mesh.user,
	MUSTER_SERVER_ADDR: "100.64.0.1:7480",
});

// The secret that tests/support/muster.ts gives to every server.
const jwtSecret = new Secret("a secret of the tests, forty characters.");

export interface Tenant {
	readonly slug: string;
	readonly token: string;
	/** Its id in the database. */
	readonly id: string;
}

/** Who walks: what is its own stands where nothing of the owner's does. */
export interface Asker extends Tenant {
	readonly siteCode: string;
	readonly key: string;
}

/** What two tenants call by the same name. */
export interface Shared {
	readonly siteCode: string;
	readonly workerId: string;
	readonly hostName: string;
}

export function newShared(): Shared {
	return { siteCode: `s-${hex(6)}`, workerId: `mine-${hex(6)}`, hostName: `host-${hex(6)}` };
}

/** A token of a tenant's operator. */
export function tokenFor(slug: string, role: Role = "admin"): Promise<string> {
	return mintAdminToken(jwtSecret, systemClock, { tenant: slug, role, subject: `${role} of ${slug}`, hours: 1 });
}

/** One request with a token. */
export function ask(server: Muster, { token }: { readonly token: string }, query: string, variables: object = {}) {
	return graphql(server, query, variables, { authorization: `Bearer ${token}` });
}

/** The same; throws when there are errors. */
export async function must(server: Muster, tenant: { readonly token: string }, query: string, variables: object = {}) {
	const { data, errors } = await ask(server, tenant, query, variables);
	if (errors.length > 0) throw new Error(`${query}: ${JSON.stringify(errors)}`);
	return data;
}

async function newTenant(server: Muster, slug: string): Promise<Tenant> {
	const token = await tokenFor(slug);
	const { tenant } = await must(server, { token }, "{ tenant { id } }");
	return { slug, token, id: String(tenant.id) };
}

const mutate = (name: string, input: string, selected: string) => `mutation ($input: ${input}!) { ${name}(input: $input) { ${selected} } }`;
const createSite = mutate("createSite", "CreateSiteInput", "site { id }");
const createHost = mutate("createHost", "CreateHostInput", "secret host { id }");
const createWorker = mutate("createWorker", "CreateWorkerInput", "secret worker { id }");
const configureAuto = mutate("configureAutoEnrollment", "ConfigureAutoEnrollmentInput", "autoEnrollment { enabled }");
const rotate = "mutation ($siteCode: String!, $grace: Int) { rotateSiteKey(siteCode: $siteCode, graceSeconds: $grace) { secret } }";

/** A tenant with a site, a worker and a host of shared names, and auto-enrollment on, so that guesses at its secret are compared. */
export async function newStranger(server: Muster, shared: Shared) {
	const tenant = await newTenant(server, `t-${hex(6)}`);
	await must(server, tenant, createSite, { input: { code: shared.siteCode, workerNamePattern: "^robot-" } });
	const key = String((await must(server, tenant, rotate, { siteCode: shared.siteCode })).rotateSiteKey.secret);
	const made = (await must(server, tenant, createWorker, { input: { name: "a worker", id: shared.workerId, siteCode: shared.siteCode } }))
		.createWorker;
	await must(server, tenant, createHost, { input: { name: shared.hostName } });
	await must(server, tenant, configureAuto, { input: { enabled: true, enrollmentSecret: hex(24) } });
	return { ...tenant, siteCode: shared.siteCode, key, workerId: String(made.worker.id), apiKey: String(made.secret) };
}
export type Stranger = Awaited<ReturnType<typeof newStranger>>;

/** An enroll input by site key. */
export function bySiteKey(slug: string, siteCode: string, key: string, worker: object) {
	const facts = { name: `robot-${hex(5)}`, machineUid: `uid-${hex(12)}`, ...worker };
	return { enrollmentId: hex(16), credential: { siteKey: { tenant: slug, siteCode, key } }, worker: facts };
}

/** A tenant that has one of everything. Whatever text people or machines chose holds the tenant's `tag`. */
export async function newOwner({ server, database: { db } }: Bench, shared: Shared, receiver: Receiver, mesh: FakeHeadscale) {
	const tag = `zq${hex(5)}`;
	const mark = (what: string) => `${tag}-${what}-${hex(4)}`;
	const tenant = await newTenant(server, mark("t"));
	const { slug } = tenant;
	const does = (query: string, variables: object = {}) => must(server, tenant, query, variables);
	const source = newSource();
	const secrets: string[] = [];
	const secret = (text: unknown) => {
		secrets.push(String(text));
		return String(text);
	};
	const facts = () => ({ name: mark("robot"), hostname: mark("hostname"), machineUid: mark("uid") });
	/** Enrolls, from the owner's address; throws when it is refused. */
	const enter = async (input: object) => {
		const { enroll: result } = (await enroll(server, input, source)).data;
		if (result.__typename === "EnrollmentRejected") throw new Error(JSON.stringify(result));
		if (result.apiKey != null) secret(result.apiKey);
		return { workerId: String(result.workerId), apiKey: String(result.apiKey) };
	};

	await does(mutate("configureTenant", "ConfigureTenantInput", "tenant { id }"), { input: { workerNamePattern: tag } });
	const webhookUrl = `${receiver.urlOf(receiver.path())}-${mark("hook")}`;
	const createWebhook = mutate("createWebhook", "CreateWebhookInput", "secret webhook { id }");
	const webhook = (await does(createWebhook, { input: { url: webhookUrl, description: mark("webhook") } })).createWebhook;
	secret(webhook.secret);
	const second = { url: `${webhookUrl}-${hex(4)}`, kinds: ["LOCKOUT"], description: mark("webhook") };
	secret((await does(createWebhook, { input: second })).createWebhook.secret);

	const [open, held] = [mark("open"), mark("held")];
	await does(createSite, { input: { code: open, name: mark("site"), workerNamePattern: `^${tag}` } });
	await does(createSite, { input: { code: held, name: mark("site"), enrollmentPolicy: "REQUIRE_APPROVAL" } });
	await does(createSite, { input: { code: shared.siteCode, name: mark("site") } });
	const keys: Record<string, string> = {};
	// The grace is longer than what the server warns of.
	for (const [siteCode, grace] of [[open], [open, 604_800], [held], [shared.siteCode]] as const)
		keys[siteCode] = secret((await does(rotate, { siteCode, grace })).rotateSiteKey.secret);
	const key = keys[open] ?? "";
	const fleet = (await does(mutate("createFleet", "CreateFleetInput", "fleet { id }"), { input: { siteCode: open, name: mark("fleet") } }))
		.createFleet.fleet;

	const online = facts();
	const bySite = await enter(bySiteKey(slug, open, key, { ...online, labels: [{ key: "row", value: tag }], platform: tag, version: tag }));
	await heartbeat(server, bySite, { load1: 0.5 });
	await until("the heartbeat is written, and its figures", async () => (await rowCount(db, "vitals", `tenant_id = '${tenant.id}'`)) === 1);
	await enter(bySiteKey(slug, open, key, { ...facts(), machineUid: online.machineUid }));
	await enter(bySiteKey(slug, held, keys[held] ?? "", facts()));
	await enter(bySiteKey(slug, shared.siteCode, keys[shared.siteCode] ?? "", { ...facts(), requestedId: mark("own") }));
	// A name that is not like the others', and an id that is taken: an alert each.
	await enter(bySiteKey(slug, open, key, { name: `an unfamiliar name of ${tag}`, machineUid: mark("uid") }));
	await enroll(server, bySiteKey(slug, open, key, { ...facts(), requestedId: bySite.workerId }), source);

	const things = await stock(server, { host: bySite, mark, db, tag, does });
	const stack = await stackFor(db, bySite, mark, secret, does);

	const label = { key: `${tag}-key`, value: `${tag}-value` };
	const create = mutate("createEnrollmentKey", "CreateEnrollmentKeyInput", "secret key { id }");
	const cidrs = [`${source}/128`, "198.51.100.0/24"];
	const input = { name: mark("key"), siteCode: open, fleetId: fleet.id, maxUses: 5, labels: [label], allowedCidrs: cidrs };
	const enrollmentKey = secret((await does(create, { input })).createEnrollmentKey.secret);
	await enter({ enrollmentId: hex(16), credential: { enrollmentKey }, worker: facts() });
	await enroll(server, { enrollmentId: hex(16), credential: { enrollmentKey: withOtherSecret(enrollmentKey) }, worker: facts() }, source);

	const autoSecret = secret(mark("auto") + hex(24));
	await does(configureAuto, { input: { enabled: true, enrollmentSecret: autoSecret } });
	const claim = { enrollmentId: hex(16), requestedId: null, nonce: hex(16), timestamp: new Date().toISOString(), ...facts() };
	const mac = autoEnrollmentMac(autoSecret, { tenant: slug, ...claim });
	const { enrollmentId, nonce, timestamp, name, machineUid } = claim;
	const auto = await enter({
		enrollmentId,
		credential: { autoEnrollment: { tenant: slug, nonce, timestamp, mac } },
		worker: { name, machineUid },
	});

	const apiKey = (await does("mutation ($name: String!) { createApiKey(name: $name) { secret apiKey { id } } }", { name: mark("api-key") }))
		.createApiKey;
	const namedKey = secret(apiKey.secret);
	await does(createWorker, {
		input: { name: mark("worker"), id: shared.workerId, siteCode: open, apiKeyId: apiKey.apiKey.id, labels: [label] },
	});
	secret((await does(createWorker, { input: { name: mark("worker") } })).createWorker.secret);

	const [taken, waiting] = [mark("host"), mark("host")];
	const token = secret((await does(createHost, { input: { name: taken, siteCode: open } })).createHost.secret);
	const byToken = { enrollmentId: hex(16), credential: { hostToken: { token, sharedSecret } }, worker: { ...facts(), name: taken } };
	const joining = (await graphql(server, enrollDocument, { input: byToken }, { "x-forwarded-for": source })).data.enroll;
	const nodeName = mark("node");
	const { address } = mesh.join(secret(joining.mesh.authKey), nodeName);
	const onMesh = { workerId: String(joining.workerId), apiKey: secret(joining.apiKey) };
	await heartbeat(server, onMesh, { mesh: { state: "Running", addresses: [address], nodeName } });
	// A second node, which only its worker knows of.
	await heartbeat(server, bySite, { mesh: { state: "Starting", addresses: ["100.64.9.9"], nodeName: mark("node") } });
	await until("the mesh reports are written", async () => (await rowCount(db, "mesh_reports", `tenant_id = '${tenant.id}'`)) === 2);
	const waits = (await does(createHost, { input: { name: waiting, siteCode: open } })).createHost;
	secret(waits.secret);
	secret((await does(createHost, { input: { name: shared.hostName, siteCode: open } })).createHost.secret);
	await until("the webhook has what is for it", async () => {
		const pending = await rowCount(db, "webhook_deliveries", `tenant_id = '${tenant.id}' and state <> 'DELIVERED'`);
		return pending === 0 && (await rowCount(db, "webhook_deliveries", `tenant_id = '${tenant.id}'`)) >= 3;
	});

	return {
		...tenant,
		tag,
		source,
		label,
		cidrs,
		webhookUrl,
		...things,
		...stack,
		siteCode: open,
		key,
		enrollmentKey,
		autoSecret,
		/** What a worker can show. */
		apiKeys: [bySite.apiKey, auto.apiKey, namedKey],
		worker: bySite,
		waitingHostId: String(waits.host.id),
		/** Everything that was shown once, and the secret of auto-enrollment. */
		secrets: secrets as readonly string[],
	};
}
export type Owner = Awaited<ReturnType<typeof newOwner>>;
