import { describe, expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import { mintAdminToken } from "../../src/auth/tokens.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { Secret } from "../../src/lib/secret.ts";
import { generateReplyKey, open } from "../../src/protocol/seal.ts";
import { fingerprint } from "../../src/protocol/token.ts";
import { failureOf } from "../support/failure.ts";
import { asAdmin, type GraphQLReply, startMuster } from "../support/muster.ts";
import { enrollInput, hex, rowCount } from "../support/pipeline.ts";
import { until } from "../support/until.ts";
import { enroll, heartbeat, newSite, newSource, onEachRuntime } from "./support.ts";

// The secret that tests/support/muster.ts gives to every server.
const jwtSecret = new Secret("a secret of the tests, forty characters.");
const shown = "enabled hasSecret secretFingerprint hasApiKey apiKeyHint apiKey { id shared } configuredBy enabledAt updatedAt";
const newSecret = () => `secret ${hex(16)}`;

/** A tenant of its own, as its admin reaches it. */
interface Tenant {
	readonly url: string;
	readonly slug: string;
	readonly adminToken: string;
}

async function newTenant({ url }: { readonly url: string }): Promise<Tenant> {
	const slug = `t-${hex(6)}`;
	return { url, slug, adminToken: await mintAdminToken(jwtSecret, systemClock, { tenant: slug, role: "admin", subject: "a", hours: 1 }) };
}

type Admin = Pick<Tenant, "url" | "adminToken">;
const configuration = async (admin: Admin) => (await asAdmin(admin, `{ autoEnrollment { ${shown} } }`)).autoEnrollment;

async function configure(admin: Admin, input: object) {
	const mutation = `mutation ($input: ConfigureAutoEnrollmentInput!) { configureAutoEnrollment(input: $input) { autoEnrollment { ${shown} } } }`;
	return (await asAdmin(admin, mutation, { input })).configureAutoEnrollment.autoEnrollment;
}

/** A tenant with auto-enrollment on. */
async function openTenant(server: { readonly url: string }, more: object = {}) {
	const [tenant, secret] = [await newTenant(server), newSecret()];
	await configure(tenant, { enabled: true, enrollmentSecret: secret, ...more });
	return { ...tenant, secret };
}

interface Said {
	readonly slug: string;
	readonly secret: string;
	readonly [fact: string]: unknown;
}

/** A claim with its proof as DESIGN.md gives the bytes; a machine, enrollment and nonce of its own. */
function claim({ slug, secret, enrollmentId = hex(16), nonce = hex(16), timestamp = new Date().toISOString(), replyKey, ...facts }: Said) {
	const own = { name: "robot", hostname: "robot", machineUid: `uid-${hex(12)}`, requestedId: undefined };
	const { name, hostname, machineUid, requestedId } = { ...own, ...facts };
	const transcript = ["muster-auto-enroll-v1", slug, enrollmentId, name, requestedId ?? "", machineUid, nonce, timestamp].join("\n");
	const mac = createHmac("sha256", secret).update(transcript).digest("hex");
	const credential = { autoEnrollment: { tenant: slug, nonce, timestamp, mac } };
	return { enrollmentId, credential, worker: { name, hostname, machineUid, requestedId }, replyKey };
}

const enrolled = async (admin: Admin, said: Said) => (await enroll(admin, claim(said))).data.enroll;
const verdict = ({ status, data }: GraphQLReply) => [status, data.enroll.reason ?? data.enroll.outcome];
const ofTenant = (slug: string) => `tenant_id = (select id from tenants where slug = '${slug}')`;

onEachRuntime("auto-enrollment", (bench, runtime) => {
	describe("is turned on and off by an admin of the tenant (A1, A3)", () => {
		test("it is off by default: enrollment_disabled, 400, for a tenant that never set it and one that does not exist alike", async () => {
			const tenant = await newTenant(bench.server);
			const { enabled, hasSecret, hasApiKey, ...nothing } = await configuration(tenant);
			expect([enabled, hasSecret, hasApiKey]).toEqual([false, false, false]);
			expect(Object.values(nothing)).toEqual([null, null, null, null, null, null]);
			const switchedOff = await openTenant(bench.server);
			await configure(switchedOff, { enabled: false });
			const slugs = [tenant.slug, `none-${hex(4)}`, switchedOff.slug];
			const replies = await Promise.all(slugs.map((slug) => enroll(bench.server, claim({ slug, secret: newSecret() }))));
			for (const reply of replies) {
				expect(verdict(reply)).toEqual([400, "enrollment_disabled"]);
				expect(reply.data.enroll).toEqual({ ...replies[0]?.data.enroll, serverTime: expect.any(String) });
			}
		});

		test("a secret of fewer than 32 characters is refused, naming its length; so is turning it on without one", async () => {
			const tenant = await newTenant(bench.server);
			const short = "x".repeat(31);
			const tooShort = String(await failureOf(configure(tenant, { enabled: true, enrollmentSecret: short })));
			for (const part of ["BAD_USER_INPUT", "enrollmentSecret has 31 characters", "32"]) expect(tooShort).toContain(part);
			expect(tooShort).not.toContain(short);
			const without = String(await failureOf(configure(tenant, { enabled: true })));
			for (const part of ["BAD_USER_INPUT", "enrollmentSecret"]) expect(without).toContain(part);
			expect(await configuration(tenant)).toMatchObject({ enabled: false, hasSecret: false });
		});

		test("turned off it lets nobody in, keeps its secret, and is turned on again without one", async () => {
			const { secret, ...tenant } = await openTenant(bench.server);
			expect(await configure(tenant, { enabled: false })).toMatchObject({ enabled: false, enabledAt: null, hasSecret: true });
			expect(await enrolled(tenant, { slug: tenant.slug, secret })).toMatchObject({ reason: "enrollment_disabled" });
			await configure(tenant, { enabled: true });
			expect(await enrolled(tenant, { slug: tenant.slug, secret })).toMatchObject({ outcome: "NEW" });
		});

		test("reading it back shows of secret and API key a fingerprint, a hint and when they changed, and nothing else", async () => {
			const enrollmentApiKey = `key-${hex(20)}`;
			const { secret, ...tenant } = await openTenant(bench.server, { enrollmentApiKey });
			const seen = await configuration(tenant);
			expect(seen).toMatchObject({ secretFingerprint: `v1 (${fingerprint(secret)})`, apiKeyHint: fingerprint(enrollmentApiKey) });
			expect(seen).toMatchObject({ enabled: true, hasSecret: true, hasApiKey: true, apiKey: { shared: true }, configuredBy: "API" });
			const all = `{ autoEnrollment { ${shown} } apiKeys { nodes { id name hint } } auditLog { nodes { action subject detail } } }`;
			const text = JSON.stringify(await asAdmin(tenant, all));
			expect(text).toContain("auto_enrollment.configured");
			for (const part of [secret, enrollmentApiKey]) expect(text).not.toContain(part);
			const changed = await configure(tenant, { enabled: true, enrollmentSecret: newSecret() });
			expect(Date.parse(changed.updatedAt)).toBeGreaterThan(Date.parse(seen.updatedAt));
			expect(await configure(tenant, { enabled: true })).toEqual(changed);
		});
	});

	test("MUSTER_EXTERNAL_WORKERS=off forbids every way in: enrollment_disabled, 400, whatever the key (A11)", async () => {
		const tenant = await openTenant(bench.server);
		const site = await newSite(bench.server);
		const closed = await startMuster({ runtime, databaseUrl: bench.database.url, env: { MUSTER_EXTERNAL_WORKERS: "off" } });
		try {
			const credentials = [{ enrollmentKey: "mst_enroll_x" }, { hostToken: { token: "mst_host_x", sharedSecret: "x".repeat(32) } }];
			const inputs = [claim(tenant), enrollInput(site), ...credentials.map((credential) => ({ ...claim(tenant), credential }))];
			for (const input of inputs) expect(verdict(await enroll(closed, input))).toEqual([400, "enrollment_disabled"]);
		} finally {
			await closed.stop();
		}
		expect(await enrolled(tenant, tenant)).toMatchObject({ outcome: "NEW" });
	});

	test("MUSTER_AUTO_ENROLLMENT_KEY turns it on for the default tenant, mutations CONFLICT, and a start without it turns it off (A18)", async () => {
		const said = { slug: "default", secret: newSecret() };
		const start = (env: Record<string, string>) => startMuster({ runtime, databaseUrl: bench.database.url, env });
		const server = await start({ MUSTER_AUTO_ENROLLMENT_KEY: said.secret });
		try {
			const secretFingerprint = `v1 (${fingerprint(said.secret)})`;
			expect(await configuration(server)).toMatchObject({ enabled: true, configuredBy: "ENVIRONMENT", secretFingerprint });
			expect(await enrolled(server, said)).toMatchObject({ outcome: "NEW" });
			for (const change of [{ enabled: false }, { enabled: true, enrollmentSecret: newSecret() }]) {
				const refused = String(await failureOf(configure(server, change)));
				for (const part of ["CONFLICT", "MUSTER_AUTO_ENROLLMENT_KEY"]) expect(refused).toContain(part);
			}
			expect(await configure(server, { enabled: true, newApiKey: true })).toMatchObject({ hasApiKey: true, secretFingerprint });
		} finally {
			await server.stop();
		}
		const without = await start({});
		await without.stop();
		expect(await configuration(bench.server)).toMatchObject({ enabled: false, enabledAt: null });
		expect(await enrolled(bench.server, said)).toMatchObject({ reason: "enrollment_disabled" });
		expect(await configure(bench.server, { enabled: false, enrollmentSecret: newSecret() })).toMatchObject({ configuredBy: "API" });
	});

	test("a replaced secret is refused at once with bad_secret, 401, or once its grace is over (A4)", async () => {
		const { secret: first, ...tenant } = await openTenant(bench.server);
		const [second, third] = [newSecret(), newSecret()];
		await configure(tenant, { enabled: true, enrollmentSecret: second });
		expect(verdict(await enroll(tenant, claim({ ...tenant, secret: first })))).toEqual([401, "bad_secret"]);
		await configure(tenant, { enabled: true, enrollmentSecret: third, graceSeconds: 3_600 });
		for (const secret of [second, third]) expect(await enrolled(tenant, { ...tenant, secret })).toMatchObject({ outcome: "NEW" });
		expect(await enrolled(tenant, { ...tenant, secret: first })).toMatchObject({ reason: "bad_secret" });
		await bench.database.db.sql`
			update keys set grace_ends_at = now() - interval '1 second'
			where kind = 'auto' and grace_ends_at is not null and tenant_id = (select id from tenants where slug = ${tenant.slug})`;
		expect(verdict(await enroll(tenant, claim({ ...tenant, secret: second })))).toEqual([401, "bad_secret"]);
		expect(await enrolled(tenant, { ...tenant, secret: third })).toMatchObject({ outcome: "NEW" });
	});

	describe("takes a proof, never the secret (A6)", () => {
		test("with a reply key the API key comes sealed to it; the same enrollment with a new nonce gets the same bytes", async () => {
			const tenant = await openTenant(bench.server);
			const pair = await generateReplyKey();
			const said = { ...tenant, enrollmentId: hex(16), machineUid: `uid-${hex(12)}`, replyKey: pair.publicKey };
			const reply = await enrolled(tenant, said);
			expect(reply).toMatchObject({ outcome: "NEW", apiKey: null });
			const apiKey = await open(pair.privateKey, said.enrollmentId, reply.sealedApiKey);
			expect((await heartbeat(tenant, { workerId: reply.workerId, apiKey })).errors).toEqual([]);
			expect(await enrolled(tenant, said)).toMatchObject({ outcome: "REPLAYED", sealedApiKey: reply.sealedApiKey });
		});

		test("a nonce counts once: seen again, in the same or another enrollment, it is replayed, 401", async () => {
			const tenant = await openTenant(bench.server);
			const first = claim(tenant);
			expect((await enroll(tenant, first)).status).toBe(200);
			expect(verdict(await enroll(tenant, first))).toEqual([401, "replayed"]);
			const { nonce } = first.credential.autoEnrollment;
			expect(verdict(await enroll(tenant, claim({ ...tenant, nonce })))).toEqual([401, "replayed"]);
		});

		test.each([-6, 6])("a timestamp %d minutes off is clock_skew, 401, with the server's time", async (minutes) => {
			const tenant = await openTenant(bench.server);
			const before = Date.now();
			const reply = await enroll(tenant, claim({ ...tenant, timestamp: new Date(before + minutes * 60_000).toISOString() }));
			expect(verdict(reply)).toEqual([401, "clock_skew"]);
			const at = Date.parse(reply.data.enroll.serverTime);
			expect([at >= before, at <= Date.now()]).toEqual([true, true]);
		});

		test("the timestamp counts exactly as sent: with an offset and without milliseconds", async () => {
			const tenant = await openTenant(bench.server);
			const timestamp = new Date(Date.now() + 2 * 3_600_000).toISOString().replace(/\.\d+Z$/, "+02:00");
			expect(await enrolled(tenant, { ...tenant, timestamp })).toMatchObject({ outcome: "NEW" });
		});

		test.each(["name", "machineUid", "requestedId"])("a proof for another %s is bad_secret", async (fact) => {
			const tenant = await openTenant(bench.server);
			const { worker, ...rest } = claim({ ...tenant, requestedId: `mine-${hex(4)}` });
			expect(verdict(await enroll(tenant, { ...rest, worker: { ...worker, [fact]: `other-${hex(8)}` } }))).toEqual([401, "bad_secret"]);
		});
	});

	test("a wrong secret is logged and audited with source, claimed name and machine uid, and never with a secret (A17)", async () => {
		const tenant = await openTenant(bench.server);
		const [source, name, machineUid, wrong] = [newSource(), `guess-${hex(5)}`, `uid-${hex(12)}`, newSecret()];
		const input = claim({ ...tenant, secret: wrong, name, machineUid });
		expect(verdict(await enroll(tenant, input, source))).toEqual([401, "bad_secret"]);
		const { auditLog } = await asAdmin(tenant, "{ auditLog(first: 1) { nodes { actor action subject detail } } }");
		const [entry] = auditLog.nodes;
		expect(entry).toMatchObject({ actor: `source:${source}`, action: "enrollment.refused", subject: name });
		expect(entry.detail).toMatchObject({ name, machineUid, reason: "bad_secret", method: "AUTO_ENROLLMENT" });
		const lines = await until("the log line", () => bench.server.stderr().match(new RegExp(`.*${machineUid}.*`, "g")) ?? undefined);
		expect(lines).toHaveLength(1);
		for (const part of ["bad_secret", source, name]) expect(lines[0]).toContain(part);
		for (const part of [tenant.secret, wrong, input.credential.autoEnrollment.mac]) {
			expect(JSON.stringify(entry) + bench.server.stderr()).not.toContain(part);
		}
	});

	describe("the worker (A7, A8, A10)", () => {
		test("is recorded as auto-enrolled, with the method AUTO_ENROLLMENT", async () => {
			const tenant = await openTenant(bench.server);
			const { workerId: id } = await enrolled(tenant, tenant);
			const { worker } = await asAdmin(tenant, "query ($id: ID!) { worker(id: $id) { method autoEnrolled state site { id } } }", { id });
			expect(worker).toEqual({ method: "AUTO_ENROLLMENT", autoEnrolled: true, state: "ACTIVE", site: null });
		});

		test("that asks for an id of another machine is refused with worker_exists, 409, and an alert that names it; its own it gets", async () => {
			const tenant = await openTenant(bench.server);
			const said = { ...tenant, requestedId: `mine-${hex(5)}`, machineUid: `uid-${hex(12)}` };
			expect((await enrolled(tenant, said)).workerId).toBe(said.requestedId);
			const reply = await enroll(tenant, claim({ ...tenant, requestedId: said.requestedId }));
			expect(verdict(reply)).toEqual([409, "worker_exists"]);
			expect(reply.data.enroll.message).toContain(said.requestedId);
			const { alerts } = await asAdmin(tenant, "{ alerts { nodes { kind message worker { id } } } }");
			expect(alerts.nodes).toEqual([
				{ kind: "WORKER_EXISTS", message: expect.stringContaining(said.requestedId), worker: { id: said.requestedId } },
			]);
			expect(await enrolled(tenant, said)).toMatchObject({ outcome: "REUSED", workerId: said.requestedId });
		});

		test("that lost its state enrolls again as the same worker and host, REUSED, with no duplicate", async () => {
			const tenant = await openTenant(bench.server);
			const said = { ...tenant, machineUid: `uid-${hex(12)}` };
			const first = await enrolled(tenant, said);
			const again = await enrolled(tenant, said);
			expect(again).toMatchObject({ outcome: "REUSED", workerId: first.workerId, hostId: first.hostId });
			for (const table of ["workers", "hosts"]) expect(await rowCount(bench.database.db, table, ofTenant(tenant.slug))).toBe(1);
		});
	});
});

// Housekeeping comes round every half second.
onEachRuntime(
	"auto-enrollment that is forgotten",
	(bench) => {
		test("left on for more than 24 hours it raises AUTO_ENROLLMENT_LEFT_ON, once for each time it was turned on (A19)", async () => {
			const tenants = [await openTenant(bench.server), await openTenant(bench.server), await openTenant(bench.server)] as const;
			const [left, next, young] = tenants;
			const since = ({ slug }: Tenant, hours: number) => bench.database.db.sql`
				update auto_enrollment set enabled_at = now() - make_interval(hours => ${hours})
				where tenant_id = (select id from tenants where slug = ${slug})`;
			const alerts = ({ slug }: Tenant) => rowCount(bench.database.db, "alerts", `kind = 'AUTO_ENROLLMENT_LEFT_ON' and ${ofTenant(slug)}`);
			await since(young, 23);
			await since(left, 25);
			await until("the alert", async () => (await alerts(left)) > 0);
			await since(next, 25);
			// With this the sweep has come round again, past the first one.
			await until("the next tenant's alert", async () => (await alerts(next)) > 0);
			expect(await Promise.all(tenants.map(alerts))).toEqual([1, 1, 0]);
			for (const enabled of [false, true]) await configure(left, { enabled });
			await since(left, 30);
			await until("another alert", async () => (await alerts(left)) > 1);
			expect(await Promise.all(tenants.map(alerts))).toEqual([2, 1, 0]);
		});
	},
	{ MUSTER_HEARTBEAT_SECONDS: "1", MUSTER_STALE_SECONDS: "2" },
);
