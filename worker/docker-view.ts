/** What of Docker's list and events is told to the server. Pure. */
import type { ContainerSummary } from "../src/engine/containers.ts";
import type { EngineEvent } from "../src/engine/events.ts";
import type { EngineInfo } from "../src/engine/info.ts";
import type { ContainerReport, EngineReport, HostEventReport } from "../src/protocol/commands.ts";

/** Docker sends all of a container's labels with each of its events: no more of them, and no longer ones, than a reader makes use of. */
const attributesMax = 64;
/** What the server takes: what is longer is cut here, since it would refuse the whole report. */
const textMax = 1_024;
const labelTextMax = 4_096;
const labelsMax = 256;
const portsMax = 1_024;
const containersMax = 2_000;
/** A frame has a mebibyte at most: what is longer would cost the connection, and heartbeats with it. */
const reportBytesMax = 900_000;
const shortLabelMax = 128;

/** Which events are asked for. */
export const eventFilters = { type: ["container", "image", "network", "volume"] } as const;

/** The report on an engine that is there. */
export function engineReport(info: EngineInfo, containers: readonly ContainerSummary[]): EngineReport {
	const { id, version, apiVersion } = info;
	// Docker lists the newest first; those that run are told before all others.
	const running = containers.filter(({ State }) => State === "running");
	const all = containers.length <= containersMax ? containers : [...running, ...containers.filter(({ State }) => State !== "running")];
	const whole = all.slice(0, containersMax).map(containerReport);
	return { engine: { id, version, apiVersion }, reason: null, containers: fitting(whole) };
}

/** As much as goes into a frame: of too much, long labels go first, then all labels, then the last containers. */
function fitting(whole: readonly ContainerReport[]): readonly ContainerReport[] {
	if (fits(whole)) return whole;
	const short = whole.map((one) => ({ ...one, labels: one.labels.filter(({ value }) => value.length <= shortLabelMax) }));
	if (fits(short)) return short;
	let bare = whole.map((one) => ({ ...one, labels: [], ports: one.ports.slice(0, 16) }));
	while (!fits(bare)) bare = bare.slice(0, Math.floor(bare.length * 0.9));
	return bare;
}

function fits(value: unknown): boolean {
	return Buffer.byteLength(JSON.stringify(value)) <= reportBytesMax;
}

/** The oldest events, as many as go into one report: at least one. */
export function firstBatch(events: readonly HostEventReport[], most: number): readonly HostEventReport[] {
	let batch = events.slice(0, most);
	while (batch.length > 1 && !fits(batch)) batch = batch.slice(0, Math.ceil(batch.length / 2));
	return batch;
}

/** The report on an engine that is not there. */
export function noEngineReport(why: string): EngineReport {
	return { engine: null, reason: cut(why), containers: [] };
}

function containerReport(container: ContainerSummary): ContainerReport {
	return {
		id: container.Id,
		// Docker writes names with a slash before them; with links there are more, and its own comes first without another slash in it.
		name: cut((container.Names ?? []).map((name) => name.slice(1)).find((name) => !name.includes("/")) ?? container.Id.slice(0, 12)),
		image: cut(container.Image),
		state: container.State,
		status: cut(container.Status),
		createdAt: new Date(container.Created * 1_000).toISOString(),
		labels: Object.entries(container.Labels ?? {})
			.filter(([key]) => key.length <= textMax)
			.slice(0, labelsMax)
			.map(([key, value]) => ({ key, value: value.slice(0, labelTextMax) })),
		ports: [...new Set((container.Ports ?? []).map(portText))].slice(0, portsMax),
	};
}

function portText({ IP, PublicPort, PrivatePort, Type }: NonNullable<ContainerSummary["Ports"]>[number]): string {
	const inside = `${PrivatePort}/${Type}`;
	if (PublicPort === undefined) return inside;
	const host = IP === undefined || IP === "" ? "" : `${IP.includes(":") ? `[${IP}]` : IP}:`;
	return `${host}${PublicPort}->${inside}`;
}

/** The report on an event, undefined for exec's and health's chatter, which comes every few seconds for as long as a container runs. */
export function eventReport(event: EngineEvent): HostEventReport | undefined {
	if (/^(exec_|health_status)/.test(event.Action)) return undefined;
	const attributes = Object.entries(event.Actor.Attributes ?? {})
		.filter(([key]) => key.length <= textMax)
		.slice(0, attributesMax);
	return {
		at: new Date(eventMs(event)).toISOString(),
		type: event.Type,
		action: cut(event.Action),
		subject: cut(event.Actor.ID),
		name: cut(event.Actor.Attributes?.name ?? "") || null,
		attributes: Object.fromEntries(attributes.map(([key, value]) => [key, cut(value)])),
	};
}

/** Whether the list of containers is another after this event; health stands in a container's status. */
export function changesContainers({ Type, Action }: EngineEvent): boolean {
	return Type === "container" && !Action.startsWith("exec_") && Action !== "top" && Action !== "attach";
}

/** When an event was, in whole milliseconds since the epoch: its nanoseconds are more digits than a number holds, and are cut. */
export function eventMs({ time, timeNano }: EngineEvent): number {
	return timeNano === undefined ? time * 1_000 : Math.floor(timeNano / 1e6);
}

/** Tells an event from all others, when it comes again after a connection anew with `since`, which is inclusive. */
export function eventKey({ Type, Action, Actor, time, timeNano }: EngineEvent): string {
	return JSON.stringify([timeNano ?? time, Type, Action, Actor.ID]);
}

function cut(text: string): string {
	return text.slice(0, textMax);
}
