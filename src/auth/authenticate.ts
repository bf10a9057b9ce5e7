import { record } from "../audit/store.ts";
import type { Deps } from "../deps.ts";
import { append } from "../events/outbox.ts";
import { boundedMap } from "../lib/bounded-map.ts";
import { lockWorker } from "../workers/store.ts";
import { parseToken, sameBytes, sha256 } from "../protocol/token.ts";
import type { AnonymousPrincipal, Principal, WorkerPrincipal } from "./principal.ts";
import { touchApiKey } from "../keys/api-key-store.ts";
import { type CredentialRow, credentialBySelector, credentialByText, firstUse, insertTenant, tenantBySlug } from "./store.ts";
import { claimedOwner, type TokenVerifier } from "./tokens.ts";

/** What a client showed, from headers or from `connection_init`. */
export interface Shown {
	/** After `Bearer `. */
	readonly bearer: string | undefined;
	readonly workerId: string | undefined;
	/** Pinned on the socket when given: must be the worker's node name (H9). */
	readonly nodeName: string | undefined;
	readonly sourceAddress: string;
}

/** Finds out who asks. Never throws for a wrong credential: the principal is then anonymous and says why. */
export interface Authenticator {
	authenticate(shown: Shown): Promise<Principal>;
}

/** One text and one cost for an unknown, wrong or revoked API key and for an id that is not its own. */
const refusedWorker: AnonymousPrincipal = { kind: "anonymous", why: "The worker id and API key do not belong together, or were revoked" };

/** Makes an authenticator. Tenants' ids are remembered; credentials are looked up each time, so that a revocation counts at once. */
export function createAuthenticator(deps: Pick<Deps, "db" | "clock" | "mintId" | "log">, tokens: TokenVerifier): Authenticator {
	const tenants = boundedMap<string>(10_000);
	const noted = boundedMap<number>(10_000);
	const failures = boundedMap<number>(10_000);

	async function tenantOf(slug: string, mayMake: boolean): Promise<string | undefined> {
		const known = tenants.get(slug);
		if (known !== undefined) return known;
		let id = await tenantBySlug(deps.db.sql, slug);
		if (id === undefined && mayMake) {
			// Whoever holds the server's own secret may make any tenant: a token for a new one brings it into being.
			await insertTenant(deps.db.sql, deps.mintId("tenant"), slug, deps.clock.now());
			id = await tenantBySlug(deps.db.sql, slug);
		}
		if (id !== undefined) tenants.set(slug, id);
		return id;
	}

	async function operator(token: string, source: string): Promise<Principal> {
		const claims = await tokens.verify(token);
		if ("problem" in claims) {
			await refuseOperator(token, source, claims.problem);
			return { kind: "anonymous", why: claims.problem };
		}
		const tenantId = await tenantOf(claims.tenant, claims.own);
		if (tenantId === undefined) return { kind: "anonymous", why: `The admin token names tenant "${claims.tenant}", which does not exist` };
		const { subject, role, expiresAt } = claims;
		return { kind: "operator", tenantId, role, subject, actor: `operator:${subject}`, expiresAt };
	}

	/**
	 * Tells of a person's failed sign-in, in the audit of the tenant that the token names (S7; `default` when it names none): what it says of its owner
	 * is not proven. Once a minute for each source, owner and reason, so that a page which asks on and on with an old token does not fill the audit.
	 */
	async function refuseOperator(token: string, source: string, problem: string): Promise<void> {
		const now = deps.clock.now();
		const owner = claimedOwner(token);
		deps.log.warn("auth.operator_refused", { source, ...owner, problem });
		const told = `${source}\n${owner.tenant}\n${owner.subject}\n${problem}`;
		if (now - (failures.get(told) ?? Number.NEGATIVE_INFINITY) < 60_000) return;
		failures.set(told, now);
		try {
			const tenantId = await tenantOf(owner.tenant, false);
			if (tenantId !== undefined) await audited(tenantId, source, owner.subject, { problem });
		} catch (error) {
			// Whoever shows a wrong token is told so, also while the database is away.
			failures.delete(told);
			deps.log.warn("auth.note_failed", { error });
		}
	}

	async function audited(tenantId: string, source: string, subject: string, detail: Readonly<Record<string, unknown>>): Promise<void> {
		const entry = {
			id: deps.mintId("audit"),
			tenantId,
			at: deps.clock.now(),
			actor: `source:${source}`,
			action: "login.failed",
			subject,
			detail,
		};
		await deps.db.tx((tx) => record(tx, [entry]));
	}

	async function worker(apiKey: string, shown: Shown): Promise<WorkerPrincipal | AnonymousPrincipal> {
		const token = parseToken(apiKey);
		if (token === undefined ? apiKey.startsWith("mst_") : token.kind !== "worker") return refusedWorker;
		const hash = sha256(token?.secret ?? apiKey);
		const workerId = shown.workerId ?? "";
		const found =
			token === undefined
				? await credentialByText(deps.db.sql, hash, workerId)
				: await credentialBySelector(deps.db.sql, token.selector, workerId);
		const right = sameBytes(found?.hash ?? new Uint8Array(32), hash);
		if (found === undefined || !right || found.revoked || found.state !== "ACTIVE" || found.workerId !== shown.workerId) {
			return refuseWorker(shown, found?.tenantId);
		}
		if (shown.nodeName !== undefined && shown.nodeName !== found.name) return refuseWorker(shown, found.tenantId);
		if (!found.used) await noteFirstUse(found);
		if (!found.own) noteUse(found.id);
		return {
			kind: "worker",
			tenantId: found.tenantId,
			workerId: found.workerId,
			credentialId: found.id,
			name: found.name,
			hostId: found.hostId,
			siteId: found.siteId,
		};
	}

	async function refuseWorker(shown: Shown, tenantId: string | undefined): Promise<AnonymousPrincipal> {
		deps.log.warn("auth.worker_refused", { source: shown.sourceAddress, workerId: shown.workerId });
		if (tenantId !== undefined) {
			const nodeName = shown.nodeName?.slice(0, 253) ?? null;
			await audited(tenantId, shown.sourceAddress, shown.workerId?.slice(0, 100) ?? "unknown", { nodeName });
		}
		return refusedWorker;
	}

	/** Once a minute at most: ten thousand workers on one key must not write its row ten thousand times. */
	function noteUse(credentialId: string): void {
		const now = deps.clock.now();
		if (now - (noted.get(credentialId) ?? 0) < 60_000) return;
		noted.set(credentialId, now);
		touchApiKey(deps.db.sql, credentialId, now).catch((error: unknown) => deps.log.warn("auth.note_failed", { error }));
	}

	async function noteFirstUse(credential: CredentialRow): Promise<void> {
		await deps.db.tx(async (tx) => {
			await lockWorker(tx, credential.tenantId, credential.workerId);
			const credentialIds = await firstUse(tx, credential, deps.clock.now());
			if (credentialIds.length === 0) return;
			await append(tx, [
				{ tenantId: credential.tenantId, event: { kind: "credentials-revoked", workerId: credential.workerId, credentialIds } },
			]);
		});
	}

	return {
		authenticate(shown) {
			if (shown.bearer === undefined) return Promise.resolve({ kind: "anonymous", why: null });
			// An API key may be an admin's own text: who names a worker with it is one.
			return shown.bearer.startsWith("mst_") || shown.workerId !== undefined
				? worker(shown.bearer, shown)
				: operator(shown.bearer, shown.sourceAddress);
		},
	};
}
