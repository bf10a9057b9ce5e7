import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { pageOfAlerts } from "../../src/alerts/store.ts";
import { searchTerms } from "../../src/audit/audit.ts";
import { pageOfAudit } from "../../src/audit/store.ts";
import { claimReader, readChunks, storeChunk } from "../../src/commands/output-store.ts";
import { takeInput, workersWithWork, workOf } from "../../src/commands/hand-out-store.ts";
import { commandsByIds, pageOfCommands } from "../../src/commands/store.ts";
import { dueCommands } from "../../src/commands/sweep-store.ts";
import { pageOfHostEvents } from "../../src/inventory/events-store.ts";
import { statsOf } from "../../src/inventory/stats-store.ts";
import { containersOf, enginesOf } from "../../src/inventory/store.ts";
import { pageOfApiKeys } from "../../src/keys/api-key-store.ts";
import { credentialBySelector, credentialByText } from "../../src/auth/store.ts";
import type { Tx } from "../../src/db/port.ts";
import type { ProvenRequest } from "../../src/enrollment/request.ts";
import { glance } from "../../src/enrollment/glance-store.ts";
import { load } from "../../src/enrollment/store.ts";
import { pageOfHosts } from "../../src/hosts/store.ts";
import { expiringKeys, keysBySelectors, pageOfEnrollmentKeys } from "../../src/keys/store.ts";
import { pageOfWorkers, workersByIds } from "../../src/workers/store.ts";
import { type TestDatabase, testDatabase } from "../support/db.ts";

const tenant = "ten_00000000000000000000000000";
const page = { limit: 51, backward: false };
let database: TestDatabase;
before(async () => {
	database = await testDatabase();
	for (const statement of seed) await database.db.sql.unsafe(statement);
});
after(() => database.drop());

const reads: Readonly<Record<string, (tx: Tx) => Promise<unknown>>> = {
	"the first page of workers": (tx) => pageOfWorkers(tx, tenant, {}, page),
	"a later page of workers": (tx) => pageOfWorkers(tx, tenant, {}, { ...page, after: { createdAt: 1_800_000_000_000, id: "w" } }),
	"a page of one site's workers": (tx) => pageOfWorkers(tx, tenant, { siteId: "site_7" }, page),
	"workers by id": (tx) => workersByIds(tx, tenant, ["w1", "w2", "w3"]),
	"the first page of hosts": (tx) => pageOfHosts(tx, tenant, {}, page),
	"a page of one site's hosts": (tx) => pageOfHosts(tx, tenant, { siteId: "site_7" }, page),
	"the first page of the audit": (tx) => pageOfAudit(tx, tenant, {}, page),
	"a search of the audit": (tx) => pageOfAudit(tx, tenant, { terms: searchTerms("rotated 7 robot-17") }, page),
	"the first page of alerts": (tx) => pageOfAlerts(tx, tenant, undefined, page),
	"the first page of open alerts": (tx) => pageOfAlerts(tx, tenant, true, page),
	"a credential by its selector": (tx) => credentialBySelector(tx, "selector_17", "w1"),
	"a shared API key by its selector": (tx) => credentialBySelector(tx, "named_17", "w17"),
	"an API key that is an admin's own text": (tx) => credentialByText(tx, Buffer.alloc(32, 1), "w17"),
	"the first page of API keys": (tx) => pageOfApiKeys(tx, tenant, page),
	"the first page of enrollment keys": (tx) => pageOfEnrollmentKeys(tx, tenant, undefined, page),
	"the workers of an enrollment key": (tx) => pageOfWorkers(tx, tenant, { keyId: "key_17" }, page),
	"keys that end soon": (tx) => expiringKeys(tx, 1_800_000_000_000, 200),
	"the first page of commands": (tx) => pageOfCommands(tx, tenant, {}, page),
	"a page of one host's commands": (tx) => pageOfCommands(tx, tenant, { hostId: "host_17" }, page),
	"commands by id": (tx) => commandsByIds(tx, tenant, ["command_17"]),
	"a worker's unfinished commands": (tx) => workOf(tx, tenant, "w17", { short: 10, followed: 10 }),
	"which of some workers have commands": (tx) => workersWithWork(tx, [{ tenantId: tenant, workerId: "w17" }]),
	"commands whose time is over": (tx) => dueCommands(tx, 1_000_000_000_000, 60, 200),
	"a chunk of output on its way in": (tx) =>
		storeChunk(
			tx,
			{ tenantId: tenant, workerId: "w17", commandId: "command_17" },
			{ sequence: 1, stream: "STDOUT", data: new Uint8Array(1) },
			{ bytes: 1_000, chunks: 10 },
		),
	"a command's output": (tx) => readChunks(tx, tenant, "command_17", 8),
	"a reader's claim": (tx) => claimReader(tx, tenant, "command_17", "a reader"),
	"input for some commands": (tx) => takeInput(tx, tenant, ["command_17"], 16),
	"a host's engine": (tx) => enginesOf(tx, tenant, ["host_17"]),
	"a host's containers": (tx) => containersOf(tx, tenant, ["host_17"], 50),
	"a container's figures": (tx) => statsOf(tx, tenant, [{ hostId: "host_17", id: "container_17" }], 1_000_000_000_000),
	"the first page of a host's events": (tx) => pageOfHostEvents(tx, tenant, "host_17", page),
	"keys by their selectors": (tx) => keysBySelectors(tx, [{ kind: "enroll", selector: "selector_17" }]),
};

for (const [what, read] of Object.entries(reads)) {
	void test(`among 20,000 of each, ${what} reads no table from end to end`, async () => {
		assert.deepEqual(await scanned(read), []);
	});
}

void test("among 20,000 of each, every look-up of a batch of enrollments has an index that serves it", async () => {
	const tables = await scanned(async (tx) => {
		// A recordset is taken for 100 rows, for which the planner may find a pass over so small a table cheaper.
		await tx`set local enable_seqscan = off`;
		await load(
			tx,
			Array.from({ length: 64 }, (_, index) => request(index + 1)),
		);
	});
	assert.deepEqual(tables, []);
});

void test("among 20,000 of each, a glance at a batch of enrollments reads no table from end to end", async () => {
	const requests = Array.from({ length: 64 }, (_, index) => request(30_000 + index));
	assert.deepEqual(
		await scanned((tx) =>
			glance(
				tx,
				requests.map((one) => ({ ...one, keyId: "key_17" })),
			),
		),
		[],
	);
});

void test("a read that has no index is seen", async () => {
	assert.deepEqual(await scanned(async (tx) => await tx`select id from workers where version = 'x'`), ["workers"]);
});

/** The large tables that `read` went through sequentially, as its session's own statistics say. */
async function scanned(read: (tx: Tx) => Promise<unknown>): Promise<unknown[]> {
	return database.db.tx(async (tx) => {
		// What the session did before counts too until it was reported, which it is not amid a transaction.
		const earlier = await scans(tx);
		await read(tx);
		const later = await scans(tx);
		return [...later.keys()].filter((table) => later.get(table) !== earlier.get(table));
	});
}

async function scans(tx: Tx): Promise<Map<string, number>> {
	const rows = await tx`
		select relname, seq_scan::int4 as scans from pg_stat_xact_user_tables where relname not in ('tenants', 'sites', 'fleets') order by relname`;
	return new Map(rows.map((row) => [String(row["relname"]), Number(row["scans"])]));
}

function request(index: number): ProvenRequest {
	return {
		enrollmentId: `enrollment_${index}`,
		method: "ENROLL_KEY" as ProvenRequest["method"],
		tenantId: tenant,
		keyId: `key_${index}`,
		claim: {
			name: `w${index}`,
			requestedId: `w${index}`,
			hostname: null,
			machineUid: `uid_${index}`,
			platform: null,
			version: null,
			labels: [],
		},
		replyKey: null,
		sourceAddress: "192.0.2.1",
		arrivedAt: 0,
		mesh: { kind: "none" },
		proof: null,
		fresh: {
			workerId: "",
			hostId: "",
			credentialId: "",
			shared: false,
			selector: "",
			secretHash: new Uint8Array(32),
			hint: "",
			apiKey: null,
			sealed: null,
		},
	};
}

const many = "generate_series(1, 20000) n";
const seed = [
	`insert into sites (id, tenant_id, code, name, enrollment_policy, created_at)
	select 'site_' || n, '${tenant}', 'S' || n, 'x', 'AUTO_APPROVE', now() from generate_series(0, 99) n`,
	`insert into keys (id, tenant_id, kind, site_id, name, selector, verifier, hint, version, active, created_at)
	select 'key_' || n, '${tenant}', 'enroll', 'site_' || n % 100, 'x', 'selector_' || n, 'x', 'x', 1, true, now() from ${many}`,
	`insert into workers (tenant_id, id, name, machine_uid, site_id, method, auto_enrolled, state, labels, created_at, enrolled_at)
	select '${tenant}', 'w' || n, 'w' || n, 'uid_' || n, 'site_' || n % 100, 'SITE_KEY', false, 'ACTIVE', '{}', now() - n * interval '1 s', now() from ${many}`,
	`insert into hosts (id, tenant_id, name, site_id, worker_id, state, last_known_state, created_at)
	select 'host_' || n, '${tenant}', 'h' || n, 'site_' || n % 100, 'w' || n, 'MONITORING', 'MONITORING', now() from ${many}`,
	`insert into credentials (id, tenant_id, worker_id, name, selector, hash, hint, created_at)
	select 'cred_' || n, '${tenant}', 'w' || n, 'x', 'selector_' || n, decode(repeat('00', 32), 'hex'), 'x', now() from ${many}`,
	`insert into credentials (id, tenant_id, kind, name, selector, hash, hint, created_at)
	select 'named_' || n, '${tenant}', 'named', 'x', 'named_' || n, decode(md5(n::text) || md5(n::text), 'hex'), 'x', now() from ${many}`,
	`insert into api_key_grants (tenant_id, worker_id, credential_id, seq, granted_at)
	select '${tenant}', 'w' || n, 'named_' || n, 1000000 + n, now() from ${many}`,
	`insert into nonces (tenant_id, nonce, expires_at) select '${tenant}', 'nonce_' || n, now() + interval '1 h' from ${many}`,
	`insert into heartbeats (tenant_id, worker_id, at) select '${tenant}', 'w' || n, now() from ${many}`,
	`insert into enrollments (tenant_id, enrollment_id, key_id, worker_id, machine_uid, state, created_at, credential_id)
	select '${tenant}', 'enrollment_' || n, 'key_' || n, 'w' || n, 'uid_' || n, 'held', now(), 'cred_' || n from ${many}`,
	`insert into alerts (id, tenant_id, at, kind, severity, message) select 'alert_' || n, '${tenant}', now(), 'LOCKOUT', 'info', 'x' from ${many}`,
	`insert into audit (id, tenant_id, at, actor, action, subject) select 'audit_' || n, '${tenant}', now(), 'x', 'x', 'x' from ${many}`,
	`insert into commands (id, tenant_id, host_id, worker_id, kind, lane, state, params, requested_by, requested_at, deadline_at, ended_at, follows, output_passed)
	select 'command_' || n, '${tenant}', 'host_' || n, 'w' || n, 'image.pull', 'ordered', case when n % 10 = 7 then 'QUEUED' else 'FAILED' end, '{}', 'x',
		now(), now() + n * interval '1 s', case when n % 10 = 7 then null else now() end, false, 0 from ${many}`,
	`insert into command_output (tenant_id, command_id, sequence, stream, data) select '${tenant}', 'command_' || n, 0, 'STDOUT', '' from ${many}`,
	`insert into command_input (tenant_id, command_id, data, is_end) select '${tenant}', 'command_' || n, '', false from ${many}`,
	`insert into engines (tenant_id, host_id, reported_at) select '${tenant}', 'host_' || n, now() from ${many}`,
	`insert into containers (tenant_id, host_id, id, name, image, state, status, created_at, labels, ports)
	select '${tenant}', 'host_' || n, 'container_' || n, 'x', 'x', 'running', 'x', now(), '{}', '{}' from ${many}`,
	`insert into container_stats (tenant_id, host_id, container_id, slot, at, cpu_cores, memory_bytes, network_received_bytes, network_sent_bytes)
	select '${tenant}', 'host_' || n, 'container_' || n, 0, now(), 1, 1, 1, 1 from ${many}`,
	`insert into host_events (tenant_id, host_id, at, type, action, subject, attributes) select '${tenant}', 'host_' || n, now(), 'x', 'x', 'x', '{}' from ${many}`,
	"analyze",
];
