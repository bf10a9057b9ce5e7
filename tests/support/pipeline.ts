/** One server process's enrollment pipeline without its listeners: real PostgreSQL, real Argon2id, real bus. Composed as src/server.ts does. */
import { randomBytes, randomUUID } from "node:crypto";
import type { OperatorPrincipal } from "../../src/auth/principal.ts";
import { openDb } from "../../src/db/client.ts";
import type { Db } from "../../src/db/port.ts";
import type { Deps } from "../../src/deps.ts";
import { createEnroller, type Enroller } from "../../src/enrollment/enroll.ts";
import { createLimiter } from "../../src/enrollment/limiter.ts";
import { createProver } from "../../src/enrollment/prove.ts";
import { openPostgresBus } from "../../src/events/postgres-bus.ts";
import { openHasher } from "../../src/keys/hasher.ts";
import { rotateSiteKey } from "../../src/keys/keys.ts";
import { insertKey } from "../../src/keys/store.ts";
import { openVault } from "../../src/keys/vault.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { idMint } from "../../src/lib/id.ts";
import type { Log } from "../../src/lib/log.ts";
import { systemRandom } from "../../src/lib/random.ts";
import { Secret } from "../../src/lib/secret.ts";
import { noMesh } from "../../src/mesh/none.ts";
import type { Mesh } from "../../src/mesh/port.ts";
import { withAfterCommit } from "../../src/metrics/after-commit.ts";
import { createMetrics } from "../../src/metrics/registry.ts";
import { fingerprint, mintToken, sha256 } from "../../src/protocol/token.ts";
import { createSite } from "../../src/sites/sites.ts";
import { type Heartbeats, openHeartbeats } from "../../src/workers/heartbeats.ts";
import { until } from "./until.ts";

export interface Pipeline {
	readonly deps: Deps;
	readonly enroller: Enroller;
	readonly heartbeats: Heartbeats;
	/** What it has logged so far: event and fields. */
	readonly logged: readonly string[];
	close(): Promise<void>;
}

export const staleSeconds = 90;
export const sharedSecret = "the cluster's shared secret of the tests";

/** Opens one on a database. Two on one database are two server processes to it. */
export async function openPipeline(
	url: string,
	openMesh: (tools: Pick<Deps, "clock" | "log" | "metrics">) => Mesh = () => noMesh,
): Promise<Pipeline> {
	const logged: string[] = [];
	const line = (event: string, fields: object = {}) => {
		logged.push(`${event} ${JSON.stringify(fields, (_, value: unknown) => (value instanceof Error ? String(value) : value))}`);
	};
	const log: Log = { debug: line, info: line, warn: line, error: line };
	const metrics = createMetrics({ process: false });
	const db = withAfterCommit(openDb({ url: new Secret(url), directUrl: new Secret(url), log }));
	const bus = await openPostgresBus({ db, clock: systemClock, log, metrics, processId: randomUUID() });
	const mesh = openMesh({ clock: systemClock, log, metrics });
	const deps: Deps = {
		db,
		bus,
		metrics,
		mesh,
		log,
		clock: systemClock,
		random: systemRandom,
		mintId: idMint(systemClock, systemRandom),
		hasher: openHasher(metrics),
		vault: openVault(new Secret(Buffer.alloc(32, 7).toString("base64")), [], systemRandom),
		settings: {
			externalWorkers: true,
			autoEnrollmentAlertHours: 24,
			webhookPrivateAddresses: false,
			fuseDeadlineSeconds: 120,
			portainer: null,
			heartbeatSeconds: 15,
			staleSeconds,
			serverAddress: null,
			sharedSecret: new Secret(sharedSecret),
			publicUrl: () => "http://muster.test",
		},
	};
	const limiter = createLimiter(systemClock, { refusalsPerMinute: 1_000, lockout: { failures: 1_000, seconds: 60 } });
	const heartbeats = openHeartbeats(deps);
	return {
		deps,
		heartbeats,
		logged,
		enroller: createEnroller(deps, createProver(deps), limiter),
		async close() {
			await mesh.close();
			await heartbeats.close();
			await bus.close();
			await db.close(2_000);
		},
	};
}

/** An admin of the default tenant. */
export const admin: OperatorPrincipal = {
	kind: "operator",
	tenantId: "ten_00000000000000000000000000",
	role: "admin",
	subject: "tests",
	actor: "operator:tests",
	expiresAt: Number.MAX_SAFE_INTEGER,
};

/** A new site with its first key. */
export async function newSite(
	deps: Deps,
): Promise<{ readonly siteCode: string; readonly siteId: string; readonly keyId: string; readonly key: string }> {
	const siteCode = `s-${hex(6)}`;
	const { id: siteId } = await createSite(deps, admin, { code: siteCode });
	const { key, secret } = await rotateSiteKey(deps, admin, { siteCode });
	return { siteCode, siteId, keyId: key.id, key: secret };
}

/** A live enrollment key of a site; what the admin's mutation will make (B1). */
export async function newEnrollmentKey(
	db: Db,
	options: { readonly siteId: string; readonly maxUses?: number; readonly expiresAt?: number; readonly allowedCidrs?: readonly string[] },
): Promise<{ readonly keyId: string; readonly key: string }> {
	const token = mintToken("enroll", randomBytes(38));
	const keyId = `key_${hex(10)}`;
	await db.tx((tx) =>
		insertKey(tx, {
			id: keyId,
			tenantId: admin.tenantId,
			kind: "enroll",
			siteId: options.siteId,
			fleetId: null,
			hostId: null,
			name: "an enrollment key",
			selector: token.selector,
			verifier: sha256(token.secret).toString("hex"),
			hint: fingerprint(token.secret),
			version: 1,
			active: true,
			maxUses: options.maxUses ?? null,
			expiresAt: options.expiresAt ?? null,
			revokedAt: null,
			graceEndsAt: null,
			consumedAt: null,
			allowedCidrs: options.allowedCidrs ?? [],
			labels: {},
			createdAt: systemClock.now(),
		}),
	);
	return { keyId, key: token.text };
}

export interface Asked {
	readonly siteCode: string;
	readonly key: string;
	readonly enrollmentId?: string;
	readonly replyKey?: string;
	readonly machineUid?: string;
	readonly requestedId?: string;
	readonly hostname?: string;
	readonly name?: string;
	readonly tenant?: string;
}

/** An enroll input by site key; a machine and enrollment of its own unless given. */
export function enrollInput({ siteCode, key, tenant, enrollmentId = hex(16), replyKey, ...facts }: Asked) {
	return {
		enrollmentId,
		credential: { siteKey: { siteCode, key, ...(tenant === undefined ? {} : { tenant }) } },
		worker: { name: "robot", hostname: "robot", machineUid: `uid-${hex(12)}`, ...facts },
		...(replyKey === undefined ? {} : { replyKey }),
	};
}

/** Random bytes as hex. */
export function hex(length: number): string {
	return randomBytes(length).toString("hex");
}

/** Holds a lock in a transaction of its own until released; what it wrote is kept only with `commit`. Resolves once it has the lock. */
export async function holding(db: Db, lock: string, end: "commit" | "rollback" = "commit"): Promise<{ release(): Promise<void> }> {
	const [locked, done] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
	const undone = new Error("of a test: roll back");
	const held = db
		.tx(async (tx) => {
			await tx.unsafe(lock);
			locked.resolve();
			await done.promise;
			if (end === "rollback") throw undone;
		})
		.catch((error: unknown) => {
			if (error !== undone) throw error;
		});
	await Promise.race([locked.promise, held]);
	return {
		async release() {
			done.resolve();
			await held;
		},
	};
}

/** Waits until this many connections of the database wait for a lock, exactly or at least. */
export async function lockWaiters(db: Db, count: number, or: "exactly" | "or more" = "exactly"): Promise<void> {
	await until(`${count} connection(s) ${or} wait for a lock`, async () => {
		const rows = await db.sql`
			select count(*)::int as waiting from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
		const waiting = Number(rows[0]?.["waiting"]);
		return or === "exactly" ? waiting === count : waiting >= count;
	});
}

/** How many rows a table has under a condition. */
export async function rowCount(db: Db, table: string, condition = "true"): Promise<number> {
	const rows = await db.sql.unsafe(`select count(*)::int as total from ${table} where ${condition}`);
	return Number(rows[0]?.["total"]);
}
