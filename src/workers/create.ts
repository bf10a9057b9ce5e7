import * as v from "valibot";
import { raiseAlerts } from "../alerts/store.ts";
import { record } from "../audit/store.ts";
import type { OperatorPrincipal } from "../auth/principal.ts";
import type { Deps } from "../deps.ts";
import { MusterError, notFound } from "../errors.ts";
import { append } from "../events/outbox.ts";
import { waitingHost } from "../hosts/host.ts";
import { saveHosts } from "../hosts/store.ts";
import { parseInput } from "../input.ts";
import { insertApiKey, lockLiveApiKey, saveGrants } from "../keys/api-key-store.ts";
import { newApiKey } from "../keys/api-keys.ts";
import { labelsInput } from "../keys/labels-input.ts";
import { idKind } from "../lib/id.ts";
import { labelsToJson } from "../lib/label.ts";
import { plainText } from "../lib/plain-text.ts";
import { nameIsFamiliar } from "../sites/name-pattern.ts";
import { siteByCode, tenantNamePattern } from "../sites/store.ts";
import { saveWorkers } from "./store.ts";
import type { WorkerRecord, WorkerView } from "./worker.ts";

type Tools = Pick<Deps, "db" | "clock" | "mintId" | "random">;

const newWorker = v.object({
	name: v.pipe(
		v.string(),
		v.trim(),
		v.minLength(1, "must not be empty"),
		v.maxLength(253, "must have at most 253 characters"),
		v.regex(plainText, "must not hold control characters"),
	),
	id: v.optional(
		v.nullable(
			v.pipe(
				v.string(),
				v.regex(
					/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/,
					({ input }) => `"${input.slice(0, 80)}" must be 1 to 63 letters, digits, dots, dashes or underscores`,
				),
				v.check((id) => (idKind(id) ?? "worker") === "worker", "must not begin like the id of something else"),
			),
		),
		null,
	),
	apiKeyId: v.optional(v.nullable(v.string()), null),
	siteCode: v.optional(v.nullable(v.string()), null),
	labels: labelsInput,
});

/**
 * Makes a worker that starts with its id and an API key and never enrolls (A12): with a new key, whose secret is returned here and nowhere else,
 * or with one that exists. Its host waits for the first heartbeat. CONFLICT when the id is taken, NOT_FOUND for a key or site that does not
 * exist or was revoked.
 */
export async function createWorker(
	deps: Tools,
	operator: OperatorPrincipal,
	raw: unknown,
): Promise<{ readonly worker: WorkerView; readonly secret: string | null }> {
	const input = parseInput("create the worker", newWorker, raw);
	const { tenantId, actor } = operator;
	return deps.db.tx(async (tx) => {
		const at = deps.clock.now();
		const site = input.siteCode === null ? undefined : await siteByCode(tx, tenantId, input.siteCode);
		if (input.siteCode !== null && site === undefined) throw notFound("site", input.siteCode);
		const worker: WorkerRecord = {
			tenantId,
			id: input.id ?? deps.mintId("worker"),
			name: input.name,
			hostname: null,
			machineUid: null,
			siteId: site?.id ?? null,
			fleetId: null,
			keyId: null,
			keyVersion: null,
			method: "API_KEY",
			autoEnrolled: false,
			state: "ACTIVE",
			pendingReason: null,
			contestedUid: null,
			contestedWorkerId: null,
			evidence: null,
			labels: labelsToJson(input.labels ?? []),
			version: null,
			platform: null,
			createdAt: at,
			enrolledAt: at,
		};
		if ((await saveWorkers(tx, [worker], [])) !== 1)
			throw new MusterError("CONFLICT", `Cannot create the worker: id "${worker.id}" is taken, choose another or leave it out`, {
				fields: ["id"],
			});
		const host = waitingHost({
			id: deps.mintId("host"),
			tenantId,
			name: worker.name,
			siteId: worker.siteId,
			workerId: worker.id,
			createdAt: at,
		});
		await saveHosts(tx, [host], []);
		const made = input.apiKeyId === null ? newApiKey(deps, tenantId, worker.name, false) : undefined;
		if (made !== undefined) await insertApiKey(tx, made.key);
		const key = made?.key ?? (await lockLiveApiKey(tx, tenantId, input.apiKeyId ?? ""));
		if (key === undefined) throw notFound("API key that is not revoked", input.apiKeyId ?? "");
		await saveGrants(tx, [{ tenantId, workerId: worker.id, credentialId: key.id, at }]);
		const detail = { name: worker.name, apiKeyId: key.id, newApiKey: made !== undefined };
		await record(tx, [{ id: deps.mintId("audit"), tenantId, at, actor, action: "worker.created", subject: worker.id, detail }]);
		await append(tx, [{ tenantId, event: { kind: "host", host } }]);
		const pattern = site?.workerNamePattern ?? (await tenantNamePattern(tx, tenantId));
		if (!nameIsFamiliar(pattern, worker.name)) {
			const message = `Worker "${worker.name}" does not match the names expected (${pattern})`;
			const of = { tenantId, at, siteId: worker.siteId, workerId: worker.id, hostId: host.id, acknowledgedAt: null, topic: null };
			await raiseAlerts(tx, [{ ...of, id: deps.mintId("alert"), kind: "UNFAMILIAR_WORKER", severity: "warning", message }]);
		}
		return { worker: { ...worker, hostId: host.id, lastHeartbeatAt: null }, secret: made?.secret ?? null };
	});
}
