import * as v from "valibot";
import type { WorkerPrincipal } from "../auth/principal.ts";
import type { Tx } from "../db/port.ts";
import { storable } from "../commands/storable.ts";
import type { Deps } from "../deps.ts";
import { MusterError } from "../errors.ts";
import { append } from "../events/outbox.ts";
import { parseInput } from "../input.ts";
import type { HostRecord } from "../hosts/host.ts";
import { hostsOfWorkers, lockHosts } from "../hosts/store.ts";
import { hostEventsMax } from "../protocol/commands.ts";
import { addEvents } from "./events-store.ts";
import type { EngineRecord } from "./inventory.ts";
import { saveContainers, saveEngine } from "./store.ts";

/** Called with each report of a host's engine, in the transaction that stores it and under the host's lock. What it throws undoes the report. */
export type EngineReportHandler = (tx: Tx, deps: Deps, host: HostRecord, engine: EngineRecord) => Promise<void>;
const handlers = new Set<EngineReportHandler>();

/** Has `handler` called with each report of an engine: the id may be another than before. Registered by the composition root. Returns what takes it back. */
export function onEngineReport(handler: EngineReportHandler): () => void {
	handlers.add(handler);
	return () => {
		handlers.delete(handler);
	};
}

/** Containers of one host: more would not fit into a frame. */
export const containersMax = 2_000;
const attributesMax = 64;
const text = v.pipe(v.string(), v.maxLength(1_024, "must have at most 1024 characters"));
const id = v.pipe(v.string(), v.minLength(1, "must not be empty"), v.maxLength(255, "must have at most 255 characters"));
const moment = v.pipe(
	v.string(),
	v.transform((value) => Date.parse(value)),
	v.number("must be RFC 3339 text"),
);
const pairs = v.pipe(
	v.array(v.object({ key: text, value: v.pipe(v.string(), v.maxLength(16_384)) })),
	v.maxLength(256, "must have at most 256 entries"),
);
const atMost = (most: number, what: string) => `has more than ${most} ${what}, the most that is taken`;

const engineSchema = v.object({
	engine: v.optional(v.nullable(v.object({ id, version: text, apiVersion: text })), null),
	reason: v.optional(v.nullable(text), null),
	containers: v.pipe(
		v.array(
			v.object({
				id,
				name: text,
				image: text,
				state: text,
				status: text,
				createdAt: moment,
				labels: pairs,
				ports: v.pipe(v.array(text), v.maxLength(1_024)),
			}),
		),
		v.maxLength(containersMax, atMost(containersMax, "containers")),
	),
});
const eventsSchema = v.object({
	events: v.pipe(
		v.array(
			v.object({
				at: moment,
				type: text,
				action: text,
				subject: text,
				name: v.optional(v.nullable(text), null),
				attributes: v.pipe(
					v.record(text, v.pipe(v.string(), v.maxLength(4_096))),
					v.check((value) => Object.keys(value).length <= attributesMax, atMost(attributesMax, "attributes")),
				),
			}),
		),
		v.maxLength(hostEventsMax, `${atMost(hostEventsMax, "events")}: send the rest with the next`),
	),
});
/**
 * Stores a host's engine and containers as its worker sees them, whole, in place of what was known. They stay visible while the host is DEGRADED
 * (H13). BAD_USER_INPUT names what is too large; CONFLICT when the worker has no host.
 */
export async function reportEngine(deps: Deps, worker: WorkerPrincipal, raw: unknown): Promise<number> {
	const { engine, reason, containers } = parseInput("take the report of the engine", engineSchema, storable(raw));
	const { tenantId } = worker;
	return deps.db.tx(async (tx) => {
		const host = await lockHostOf(tx, worker);
		const at = deps.clock.now();
		const record: EngineRecord = {
			tenantId,
			hostId: host.id,
			engineId: engine?.id ?? null,
			version: engine?.version ?? null,
			apiVersion: engine?.apiVersion ?? null,
			reason,
			reportedAt: at,
		};
		await saveEngine(tx, record);
		const rows = containers.map(({ labels, ...rest }) => ({
			...rest,
			hostId: host.id,
			labels: Object.fromEntries(labels.map(({ key, value }) => [key, value])),
		}));
		// What is listed twice is written once: an upsert cannot touch a row twice.
		await saveContainers(tx, tenantId, host.id, [...new Map(rows.map((row) => [row.id, row])).values()]);
		for (const handler of handlers) await handler(tx, deps, host, record);
		return at;
	});
}

/** Adds events of a host's engine, at most 200 at once, and tells subscribers. The newest 500 of each host are kept. */
export async function reportHostEvents(deps: Deps, worker: WorkerPrincipal, raw: unknown): Promise<number> {
	const { events } = parseInput("take the host's events", eventsSchema, storable(raw));
	const { tenantId } = worker;
	const at = deps.clock.now();
	if (events.length === 0) return at;
	await deps.db.tx(async (tx) => {
		const host = await lockHostOf(tx, worker);
		const added = await addEvents(tx, tenantId, host.id, events);
		await append(tx, [{ tenantId, event: { kind: "host-events", hostId: host.id, siteId: host.siteId, events: added } }]);
	});
	return at;
}

async function lockHostOf(tx: Tx, worker: WorkerPrincipal): Promise<HostRecord> {
	const [found] = await hostsOfWorkers(tx, worker.tenantId, [worker.workerId]);
	const [host] = found === undefined ? [] : await lockHosts(tx, [found.id]);
	if (host?.workerId !== worker.workerId || host.tenantId !== worker.tenantId) throw noHost(worker);
	return host;
}

/** What a worker is told that has no host. */
export function noHost({ workerId }: WorkerPrincipal): MusterError {
	return new MusterError("CONFLICT", `Worker "${workerId}" has no host: nothing to report of`);
}
