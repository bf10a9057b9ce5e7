/** What of Docker's list and events is told to the server. Pure. */
import type { ContainerSummary } from "../src/engine/containers.ts";
import type { EngineEvent } from "../src/engine/events.ts";
import type { EngineInfo } from "../src/engine/info.ts";
import type { ContainerReport, EngineReport, HostEventReport } from "../src/protocol/commands.ts";

/** Docker sends all of a container's labels with each of its events: no more of them, and no longer ones, than a reader makes use of. */
const attributesMax = 64;
const attributeCharactersMax = 1_024;

/** Which events are asked for. */
export const eventFilters = { type: ["container", "image", "network", "volume"] } as const;

/** The report on an engine that is there. */
export function engineReport(info: EngineInfo, containers: readonly ContainerSummary[]): EngineReport {
	const { id, version, apiVersion } = info;
	return { engine: { id, version, apiVersion }, reason: null, containers: containers.map(containerReport) };
}

/** The report on an engine that is not there. */
export function noEngineReport(why: string): EngineReport {
	return { engine: null, reason: why, containers: [] };
}

function containerReport(container: ContainerSummary): ContainerReport {
	return {
		id: container.Id,
		// Docker writes names with a slash before them; with links there are more, and its own comes first without another slash in it.
		name: (container.Names ?? []).map((name) => name.slice(1)).find((name) => !name.includes("/")) ?? container.Id.slice(0, 12),
		image: container.Image,
		state: container.State,
		status: container.Status,
		createdAt: new Date(container.Created * 1_000).toISOString(),
		labels: Object.entries(container.Labels ?? {}).map(([key, value]) => ({ key, value })),
		ports: [...new Set((container.Ports ?? []).map(portText))],
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
	const attributes = Object.entries(event.Actor.Attributes ?? {}).slice(0, attributesMax);
	return {
		at: new Date(eventMs(event)).toISOString(),
		type: event.Type,
		action: event.Action,
		subject: event.Actor.ID,
		name: event.Actor.Attributes?.name ?? null,
		attributes: Object.fromEntries(attributes.map(([key, value]) => [key, value.slice(0, attributeCharactersMax)])),
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
