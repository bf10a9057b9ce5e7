import * as v from "valibot";
import { raiseAlerts } from "../alerts/store.ts";
import { record } from "../audit/store.ts";
import type { Sql, Tx } from "../db/port.ts";
import { recordset } from "../db/recordset.ts";
import { parseRows, time } from "../db/rows.ts";
import { alone, together } from "../db/together.ts";
import { append } from "../events/outbox.ts";
import { lockHosts, saveHosts, workersOfHosts } from "../hosts/store.ts";
import { isExclusive } from "../keys/key.ts";
import { addUses, keysForUse } from "../keys/store.ts";
import { saveGrants } from "../keys/api-key-store.ts";
import { holdKeys, lockMinted } from "../mesh/key-store.ts";
import { loadAuto, saveNonces } from "./auto-store.ts";
import { sitesById } from "../sites/store.ts";
import { addWorkers, parseWorkers, saveWorkers, workerColumns } from "../workers/store.ts";
import { insertAttempts } from "./attempt-store.ts";
import { type Changes, isPlain } from "./changes.ts";
import { type Loaded, nothing, type PriorRecord } from "./loaded.ts";
import type { ProvenRequest } from "./request.ts";

/** Thrown when the batch met what it did not know of when it was decided: a row that was to be inserted is there, a key was revoked. Decide anew. */
export class LostRace extends Error {
	constructor(table: string) {
		super(`Another transaction wrote to ${table} first`);
		this.name = "LostRace";
	}
}

/**
 * Loads everything the verdicts on these requests depend on. Locks in a fixed order (keys that are exclusive, workers, hosts, each by id): the key's lock
 * makes uses exact, the worker's lock keeps a revocation from slipping in between. What another batch commits meanwhile, on this server or another, is noticed
 * when this one is saved (`LostRace`).
 */
export async function load(tx: Tx, requests: readonly ProvenRequest[]): Promise<Loaded> {
	if (requests.length === 0) return nothing;
	const keys = await keysForUse(tx, [...new Set(requests.map(({ keyId }) => keyId))]);
	const siteIds = keys.flatMap(({ siteId }) => (siteId === null ? [] : [siteId]));
	const [sites, firstPriors, auto] = await Promise.all([sitesById(tx, siteIds), loadPriors(tx, requests), loadAuto(tx, requests)]);
	const boundIds = keys.flatMap(({ hostId }) => hostId ?? []);
	const bound = boundIds.length === 0 ? [] : await workersOfHosts(tx, boundIds);
	const firstWorkers = parseWorkers(await lockWorkers(tx, requests, [...firstPriors, ...bound]));
	// A batch beside this one may have held these locks: what it wrote is read under them.
	const mayBeStale = firstWorkers.length > 0 && !keys.every(isExclusive);
	const priors = mayBeStale ? await loadPriors(tx, requests) : firstPriors;
	const workers = mayBeStale ? parseWorkers(await lockWorkers(tx, requests, [...priors, ...bound])) : firstWorkers;
	const hostIds = [...new Set([...workers.flatMap(({ hostId }) => hostId ?? []), ...boundIds])];
	const hosts = await lockHosts(tx, hostIds);
	// The worker of a bound host is read before it can be locked; a host that changed hands in between needs another look.
	const known = new Set(workers.map(({ tenantId, id }) => `${tenantId} ${id}`));
	const hostOf = new Map(hosts.map((host) => [host.id, host.workerId]));
	if (workers.some(({ id, hostId }) => hostId !== null && hostOf.get(hostId) !== id)) throw new LostRace("hosts");
	if (hosts.some(({ id, tenantId, workerId }) => boundIds.includes(id) && workerId !== null && !known.has(`${tenantId} ${workerId}`)))
		throw new LostRace("hosts");
	// Last of all locks: housekeeping takes no other while it holds one of these.
	const meshKeys = await lockMinted(
		tx,
		requests.flatMap(({ mesh }) => (mesh.kind === "minted" ? [mesh.id] : [])),
	);
	return { keys, sites, priors, workers, hosts, meshKeys, ...auto };
}

const prior = v.object({
	tenantId: v.string(),
	enrollmentId: v.string(),
	keyId: v.string(),
	workerId: v.string(),
	hostId: v.nullable(v.string()),
	machineUid: v.string(),
	replyKey: v.nullable(v.string()),
	state: v.picklist(["held", "admitted"]),
	outcome: v.nullable(v.picklist(["NEW", "REUSED", "MOVED"])),
	credentialId: v.nullable(v.string()),
	sealed: v.nullable(v.string()),
	meshKeyId: v.nullable(v.string()),
	sealedMesh: v.nullable(v.string()),
	createdAt: time,
	expiresAt: v.nullable(time),
	credentialUsed: v.boolean(),
	credentialRevoked: v.boolean(),
});

async function loadPriors(tx: Tx, requests: readonly ProvenRequest[]): Promise<PriorRecord[]> {
	const wanted = requests.map(({ tenantId, enrollmentId }) => ({ tenantId, enrollmentId }));
	const rows = await tx`
		select e.tenant_id, e.enrollment_id, e.key_id, e.worker_id, e.host_id, e.machine_uid, e.reply_key, e.state, e.outcome, e.credential_id,
			e.sealed, e.mesh_key_id, e.sealed_mesh, e.created_at, e.expires_at, (c.first_used_at is not null and c.worker_id is not null) as credential_used,
			(c.id is null or c.revoked_at is not null) as credential_revoked
		from jsonb_to_recordset(${tx.json(wanted)}) as r ("tenantId" text, "enrollmentId" text)
		join enrollments e on e.tenant_id = r."tenantId" and e.enrollment_id = r."enrollmentId"
		left join credentials c on c.id = e.credential_id
		limit ${requests.length}`;
	return parseRows(prior, rows);
}

function lockWorkers(
	tx: Tx,
	requests: readonly ProvenRequest[],
	others: readonly { readonly tenantId: string; readonly workerId: string }[],
) {
	const wanted = [
		...requests.map(({ tenantId, claim }) => ({ tenantId, uid: claim.machineUid, id: claim.requestedId })),
		...others.map(({ tenantId, workerId }) => ({ tenantId, uid: null, id: workerId })),
	];
	// One index look-up for each way a worker can matter; an OR over them would read the table. No limit: a uid may have been claimed by any
	// number of clones, and a verdict that misses one of them is wrong; an index keeps the look-up narrow.
	return tx`
		with wanted as materialized (
			select * from jsonb_to_recordset(${tx.json(wanted)}) as r ("tenantId" text, uid text, id text)
		), found as (
			select w.tenant_id, w.id from wanted r join workers w on w.tenant_id = r."tenantId" and w.machine_uid = r.uid
			union select w.tenant_id, w.id from wanted r join workers w on w.tenant_id = r."tenantId" and w.id = r.id
			union select w.tenant_id, w.id from wanted r join workers w on w.tenant_id = r."tenantId" and w.contested_uid = r.uid
		)
		select ${workerColumns(tx)} from found f
		join workers w on w.tenant_id = f.tenant_id and w.id = f.id
		left join hosts h on h.tenant_id = w.tenant_id and h.worker_id = w.id
		left join heartbeats b on b.tenant_id = w.tenant_id and b.worker_id = w.id
		order by w.tenant_id, w.id
		for no key update of w`;
}

/**
 * Writes what the verdicts changed, one statement a table, joined into one where they may be.
 * Throws LostRace when a row to be inserted was there already; then nothing of the batch may be committed.
 */
export async function save(tx: Tx, changes: Changes): Promise<void> {
	await together(tx, (joined) => write(joined, changes));
}

async function write(tx: Tx, changes: Changes): Promise<void> {
	await Promise.all([
		saveWorkers(tx, [...changes.newWorkers.values()], [...changes.oldWorkers.values()]).then(expect("workers", changes.newWorkers.size)),
		saveHosts(tx, [...changes.newHosts.values()], [...changes.oldHosts.values()]),
		insertCredentials(tx, changes),
		saveGrants(tx, [...changes.grants.values()]),
		saveNonces(tx, [...changes.nonces.values()]).then(expect("nonces", changes.nonces.size)),
		savePriors(tx, [...changes.priors.values()]).then(expect("enrollments", changes.priors.size)),
		insertAttempts(tx, changes.attempts),
		record(tx, changes.audit),
		raiseAlerts(tx, changes.alerts),
		append(tx, changes.events),
		holdKeys(tx, [...changes.meshHeld.values()], [...changes.meshReplaced], changes.meshMoved).then(
			expect("mesh_keys", changes.meshHeld.size),
		),
		// Last, so that other batches on the same key wait for the commit only.
		addUses(tx, [...changes.uses.values()]),
	]);
}

/**
 * Writes changes that are plain (`isPlain`) as one statement that commits by itself. Fails as a lost race (`isLostWrite`) when a row to be inserted was
 * there already or a key changed; then nothing is written.
 */
export async function saveAlone(sql: Sql, changes: Changes): Promise<void> {
	if (!isPlain(changes)) throw new Error("These changes need a transaction");
	await alone(sql, async (tx) => {
		await Promise.all([
			addWorkers(tx, [...changes.newWorkers.values()]),
			saveHosts(tx, [...changes.newHosts.values()], []),
			insertCredentials(tx, changes),
			addPriors(tx, [...changes.priors.values()]),
			insertAttempts(tx, changes.attempts),
			record(tx, changes.audit),
			append(tx, changes.events),
			addUses(tx, [...changes.uses.values()]),
		]);
	});
}

function expect(table: string, rows: number): (written: number) => void {
	return (written) => {
		if (written !== rows) throw new LostRace(table);
	};
}

const credentialColumns = {
	id: "text",
	tenantId: "text",
	workerId: "text",
	name: "text",
	selector: "text",
	hash: "text",
	hint: "text",
	createdAt: "time",
} as const;

async function insertCredentials(tx: Tx, { credentials, replaced }: Changes): Promise<void> {
	const writes = [];
	if (replaced.size > 0) {
		writes.push(tx`update credentials set revoked_at = now() where id = any (${[...replaced]}::text[]) and revoked_at is null`);
	}
	if (credentials.size > 0) {
		writes.push(tx`
			insert into credentials (id, tenant_id, worker_id, name, selector, hash, hint, created_at)
			select id, "tenantId", "workerId", name, selector, decode(hash, 'hex'), hint, "createdAt"
			from ${recordset(tx, [...credentials.values()], credentialColumns)} as r`);
	}
	await Promise.all(writes);
}

/** In the order of the insert's columns. */
const priorColumns = {
	tenantId: "text",
	enrollmentId: "text",
	keyId: "text",
	workerId: "text",
	hostId: "text",
	machineUid: "text",
	replyKey: "text",
	state: "text",
	outcome: "text",
	credentialId: "text",
	sealed: "text",
	meshKeyId: "text",
	sealedMesh: "text",
	createdAt: "time",
	expiresAt: "time",
} as const;

/** An answer replaces an older one of the same id only when that one is held, over or itself (a replay): another live one means that the race was lost. */
async function savePriors(tx: Tx, priors: readonly PriorRecord[]): Promise<number> {
	if (priors.length === 0) return 0;
	const written = await tx`
		${priorInsertion(tx, priors)}
		on conflict (tenant_id, enrollment_id) do update
		set key_id = excluded.key_id, worker_id = excluded.worker_id, host_id = excluded.host_id, machine_uid = excluded.machine_uid,
			reply_key = excluded.reply_key, state = excluded.state, outcome = excluded.outcome, credential_id = excluded.credential_id,
			sealed = excluded.sealed, mesh_key_id = excluded.mesh_key_id, sealed_mesh = excluded.sealed_mesh, created_at = excluded.created_at, expires_at = excluded.expires_at
		where enrollments.state = 'held' or enrollments.expires_at <= excluded.created_at
			or (enrollments.created_at, enrollments.worker_id, enrollments.key_id) = (excluded.created_at, excluded.worker_id, excluded.key_id)`;
	return written.count;
}

/** The same for enrollment ids that had none: fails with a unique violation where one has (`isLostWrite`). */
async function addPriors(tx: Tx, priors: readonly PriorRecord[]): Promise<void> {
	if (priors.length > 0) await priorInsertion(tx, priors);
}

function priorInsertion(tx: Tx, priors: readonly PriorRecord[]) {
	return tx`
		insert into enrollments (tenant_id, enrollment_id, key_id, worker_id, host_id, machine_uid, reply_key, state, outcome, credential_id, sealed,
			mesh_key_id, sealed_mesh, created_at, expires_at)
		select * from ${recordset(tx, priors, priorColumns)} as r`;
}

/** How long a held answer outlives its worker's hold. */
const heldMemoryMs = 86_400_000;

/** Deletes a bounded number of replies whose ten minutes are over, and of held answers that nobody waits for. Returns how many went. */
export async function pruneReplies(sql: Sql, now: number, limit: number): Promise<number> {
	const gone = await sql`
		with old as materialized (
			select tenant_id, enrollment_id from enrollments where expires_at < ${new Date(now)} order by expires_at limit ${limit} for update skip locked)
		delete from enrollments e using old where e.tenant_id = old.tenant_id and e.enrollment_id = old.enrollment_id`;
	// Held answers of workers that wait no more and were not asked for in a day: the worker was told, or has given up.
	const settled = await sql`
		with old as materialized (
			select e.tenant_id, e.enrollment_id from enrollments e
			where e.state = 'held' and e.created_at < ${new Date(now - heldMemoryMs)}
				and not exists (select from workers w where w.tenant_id = e.tenant_id and w.id = e.worker_id and w.state = 'PENDING')
			order by e.created_at limit ${limit} for update skip locked)
		delete from enrollments e using old where e.tenant_id = old.tenant_id and e.enrollment_id = old.enrollment_id`;
	return gone.count + settled.count;
}
