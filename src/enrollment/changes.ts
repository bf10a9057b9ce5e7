import type { NewAlert } from "../alerts/alert.ts";
import type { AuditRecord } from "../audit/audit.ts";
import type { TenantEvent } from "../events/event.ts";
import type { HostRecord } from "../hosts/host.ts";
import type { KeyUse } from "../keys/store.ts";
import type { HeldKey } from "../mesh/key-store.ts";
import type { WorkerRecord } from "../workers/worker.ts";
import type { AttemptRecord } from "./attempt.ts";
import type { PriorRecord } from "./loaded.ts";

/** A credential as it is stored: the hash in hex, never the key. */
export interface CredentialRow {
	readonly id: string;
	readonly tenantId: string;
	readonly workerId: string;
	readonly name: string;
	readonly selector: string;
	readonly hash: string;
	readonly hint: string;
	readonly createdAt: number;
}

/** A worker that may use a credential which is not its own alone. */
export interface GrantRow {
	readonly tenantId: string;
	readonly workerId: string;
	readonly credentialId: string;
	readonly at: number;
}

/** A nonce and until when it is remembered. */
export interface NonceRow {
	readonly tenantId: string;
	readonly nonce: string;
	readonly expiresAt: number;
}

/** What one batch writes: one list a table, each row once in its final form. */
export interface Changes {
	readonly newWorkers: Map<string, WorkerRecord>;
	readonly oldWorkers: Map<string, WorkerRecord>;
	readonly newHosts: Map<string, HostRecord>;
	readonly oldHosts: Map<string, HostRecord>;
	readonly credentials: Map<string, CredentialRow>;
	/** Uses of a shared API key, by tenant and worker. */
	readonly grants: Map<string, GrantRow>;
	/** Nonces that count as seen from now on, by tenant and nonce. */
	readonly nonces: Map<string, NonceRow>;
	/** Credentials to be revoked: replaced before they were ever used. */
	readonly replaced: Set<string>;
	/** Mesh keys that are given out, and those that they take the place of. */
	readonly meshHeld: Map<string, HeldKey>;
	readonly meshReplaced: Set<string>;
	/** Hosts whose worker became another host's, with that one's id: the machine's nodes on the mesh go with it. */
	readonly meshMoved: Map<string, string>;
	readonly priors: Map<string, PriorRecord>;
	readonly uses: Map<string, KeyUse>;
	readonly attempts: AttemptRecord[];
	readonly audit: AuditRecord[];
	readonly alerts: NewAlert[];
	readonly events: TenantEvent[];
}

/** A batch that changed nothing yet. */
export function noChanges(): Changes {
	return {
		newWorkers: new Map(),
		oldWorkers: new Map(),
		newHosts: new Map(),
		oldHosts: new Map(),
		credentials: new Map(),
		grants: new Map(),
		nonces: new Map(),
		replaced: new Set(),
		meshHeld: new Map(),
		meshReplaced: new Set(),
		meshMoved: new Map(),
		priors: new Map(),
		uses: new Map(),
		attempts: [],
		audit: [],
		alerts: [],
		events: [],
	};
}

/** Whether a batch only adds: new machines, each with what belongs to it, and uses of keys. */
export function isPlain(changes: Changes): boolean {
	const { oldWorkers, oldHosts, grants, nonces, replaced, meshHeld, meshReplaced, meshMoved, alerts } = changes;
	return (
		[oldWorkers, oldHosts, grants, nonces, replaced, meshHeld, meshReplaced, meshMoved].every(({ size }) => size === 0) &&
		alerts.length === 0
	);
}
