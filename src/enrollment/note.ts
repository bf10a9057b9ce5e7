import type { AttemptRecord } from "./attempt.ts";
import type { Changes } from "./changes.ts";
import type { IdMint } from "../lib/id.ts";
import type { ProvenRequest } from "./request.ts";
import type { EarlyRefusal } from "./result.ts";
import type { World } from "./world.ts";

/** Records the attempt of a proven request: row, audit line and event (H8, S7). */
export function noteAttempt(
	world: World,
	request: ProvenRequest,
	what: Pick<AttemptRecord, "accepted" | "outcome" | "reason" | "workerId" | "hostId">,
	detail: string | null,
	now: number,
	mintId: IdMint,
): void {
	const key = world.keys.get(request.keyId);
	note(world.changes, mintId, detail, {
		id: mintId("attempt"),
		tenantId: request.tenantId,
		at: now,
		method: request.method,
		sourceAddress: request.sourceAddress,
		claimedName: request.claim.name,
		hostname: request.claim.hostname,
		machineUid: request.claim.machineUid,
		siteId: key?.siteId ?? null,
		keyId: request.keyId,
		...what,
		hostId: what.hostId ?? key?.hostId ?? null,
	});
}

/** Records a refusal that never reached a verdict. */
export function noteEarly(changes: Changes, refusal: EarlyRefusal, now: number, mintId: IdMint): void {
	note(changes, mintId, refusal.message, {
		id: mintId("attempt"),
		tenantId: refusal.tenantId,
		at: now,
		method: refusal.method,
		accepted: false,
		outcome: null,
		reason: refusal.reason,
		sourceAddress: refusal.sourceAddress,
		claimedName: refusal.claimedName,
		hostname: refusal.hostname,
		machineUid: refusal.machineUid,
		siteId: refusal.siteId,
		hostId: refusal.hostId,
		workerId: null,
		keyId: refusal.keyId,
	});
	const { lockout } = refusal;
	if (lockout === null || refusal.tenantId === null) return;
	const alert = {
		id: mintId("alert"),
		tenantId: refusal.tenantId,
		at: now,
		kind: "LOCKOUT",
		severity: "warning",
		message: `${refusal.sourceAddress} is locked out of enrolling (${lockout.scope}) after repeated wrong keys, last as "${refusal.claimedName ?? ""}"`,
		workerId: null,
		hostId: null,
		siteId: refusal.siteId,
		acknowledgedAt: null,
		// Several servers may lock one source out at about the same time: within the length of a lockout that is one alert.
		topic: `lockout ${lockout.scope} ${refusal.sourceAddress} ${Math.floor(now / lockout.lengthMs)}`,
	} as const;
	changes.alerts.push(alert);
}

function note(changes: Changes, mintId: IdMint, detail: string | null, attempt: AttemptRecord): void {
	changes.attempts.push(attempt);
	// What named no tenant belongs to nobody: it is kept and logged, but no tenant's audit shows it.
	if (attempt.tenantId === null) return;
	changes.events.push({ tenantId: attempt.tenantId, event: { kind: "attempt", attempt } });
	changes.audit.push({
		id: mintId("audit"),
		tenantId: attempt.tenantId,
		at: attempt.at,
		actor: `source:${attempt.sourceAddress}`,
		action: action(attempt),
		subject: attempt.workerId ?? attempt.claimedName ?? "unknown",
		detail: {
			attemptId: attempt.id,
			method: attempt.method,
			name: attempt.claimedName,
			machineUid: attempt.machineUid,
			...(attempt.outcome === null ? {} : { outcome: attempt.outcome }),
			...(attempt.reason === null ? {} : { reason: attempt.reason }),
			...(detail === null ? {} : { detail }),
		},
	});
}

function action(attempt: AttemptRecord): string {
	if (attempt.accepted) return "enrollment.admitted";
	return attempt.reason === null ? "enrollment.held" : "enrollment.refused";
}
