import { expect, test } from "bun:test";
import type { ContainerSummary } from "../../../src/engine/containers.ts";
import type { EngineEvent } from "../../../src/engine/events.ts";
import { changesContainers, engineReport, eventMs, eventReport, firstBatch } from "../../../worker/docker-view.ts";
import { statsReport } from "../../../worker/docker-stats.ts";
import { findDocker } from "../../../worker/docker-address.ts";

const event = (Action: string, Attributes: Record<string, string> = {}): EngineEvent => ({
	Type: "container",
	Action,
	Actor: { ID: "c1", Attributes },
	time: 1_793_534_400,
	timeNano: 1_793_534_400_123_456_800,
});
const info = { id: "e", name: "n", version: "29", apiVersion: "1.52", memoryBytes: 100, os: "linux", architecture: "x86_64" };
const container = (from: Partial<ContainerSummary>): ContainerSummary => ({
	Id: "0123456789abcdef",
	Names: ["/web"],
	Image: "nginx",
	ImageID: "sha256:1",
	Created: 0,
	State: "running",
	Status: "Up",
	...from,
});

test.each([
	["start", true, true],
	["exec_create: sh -c x", false, false],
	["exec_die", false, false],
	["health_status: healthy", false, true],
	["top", true, false],
	["die", true, true],
] as const)("H10: the event %s is told: %p, and makes the list new: %p", (action, told, changes) => {
	expect([eventReport(event(action)) !== undefined, changesContainers(event(action))]).toEqual([told, changes]);
});

test("H10: an event's time is cut to milliseconds, and no label is longer than the server takes", () => {
	const report = eventReport(event("start", { name: "web", long: "x".repeat(5_000), ["k".repeat(2_000)]: "y" }));
	expect(report).toMatchObject({ at: "2026-11-01T12:00:00.123Z", name: "web", subject: "c1" });
	expect(Object.keys(report?.attributes ?? {})).toEqual(["name", "long"]);
	expect(report?.attributes.long).toHaveLength(1_024);
	expect(eventMs({ ...event("start"), timeNano: undefined })).toBe(1_793_534_400_000);
});

test("H10: a container is told by its own name and not by a link's, with the ports as people read them, each once", () => {
	const Ports = [
		{ IP: "0.0.0.0", PrivatePort: 80, PublicPort: 8_080, Type: "tcp" },
		{ IP: "::", PrivatePort: 80, PublicPort: 8_080, Type: "tcp" },
		{ PrivatePort: 53, Type: "udp" },
		{ PrivatePort: 53, Type: "udp" },
	];
	const [report] = engineReport(info, [container({ Names: ["/other/alias", "/web"], Ports })]).containers;
	expect(report).toMatchObject({ name: "web", ports: ["0.0.0.0:8080->80/tcp", "[::]:8080->80/tcp", "53/udp"] });
	expect(engineReport(info, [container({ Names: null })]).containers[0]?.name).toBe("0123456789ab");
});

test("H10: of more containers than the server takes, those that run are told", () => {
	const idle = Array.from({ length: 2_500 }, () => container({ State: "exited" }));
	const { containers } = engineReport(info, [...idle, container({})]);
	expect([containers.length, containers[0]?.state]).toEqual([2_000, "running"]);
});

test("H9: no report is longer than a frame: the connection, and heartbeats with it, would end by it again and again", () => {
	const bytes = (value: unknown) => Buffer.byteLength(JSON.stringify(value));
	const labelled = (count: number, length: number) =>
		engineReport(
			info,
			Array.from({ length: count }, () => container({ Labels: { short: "s", long: "ä".repeat(length) } })),
		).containers;
	expect(labelled(100, 1_000)[99]?.labels).toHaveLength(2);
	const short = labelled(500, 4_000);
	expect([short.length, short[0]?.labels, bytes(short) < 1_000_000]).toEqual([500, [{ key: "short", value: "s" }], true]);
	const most = engineReport(
		info,
		Array.from({ length: 2_000 }, () => container({ Names: [`/${"n".repeat(1_000)}`], Labels: { a: "b" } })),
	).containers;
	expect([bytes(most) < 1_000_000, most.length > 500]).toEqual([true, true]);
	const attributes = Object.fromEntries(Array.from({ length: 64 }, (_, index) => [`k${index}`, "x".repeat(1_024)]));
	const one = eventReport(event("start", attributes));
	const events = Array.from({ length: 100 }, () => one ?? []).flat();
	const batch = firstBatch(events, 100);
	expect([batch.length > 1, bytes(batch) < 1_000_000]).toEqual([true, true]);
});

test("H10: the first sample of a container has no figures; a limit that is the host's memory is none", () => {
	const sample = (atMs: number, cpuNanoseconds: number, memoryLimitBytes: number) => ({
		atMs,
		cpuNanoseconds,
		memoryLimitBytes,
		memoryBytes: 5,
		networkReceivedBytes: 1,
		networkSentBytes: 2,
	});
	expect(statsReport("c", undefined, sample(0, 0, 100), 100)).toEqual([]);
	const [report] = statsReport("c", sample(0, 0, 100), sample(1_000, 5e8, 100), 100);
	expect(report).toMatchObject({ cpuCores: 0.5, memoryLimitBytes: null });
	expect(statsReport("c", sample(0, 0, 50), sample(1_000, 5e8, 50), 100)[0]?.memoryLimitBytes).toBe(50);
});

test.each([
	["off", "unix:///x", { kind: "none" }],
	["/my.sock", "unix:///x", { kind: "at", at: { socketPath: "/my.sock" }, asked: true }],
	[undefined, "unix:///x", { kind: "at", at: { socketPath: "/x" }, asked: true }],
	[undefined, undefined, { kind: "at", at: { socketPath: "/var/run/docker.sock" }, asked: false }],
	[undefined, "ssh://me@host", { kind: "none", why: expect.stringContaining('"ssh://me@host"') }],
] as const)("H9: with MUSTER_DOCKER_SOCKET %p and DOCKER_HOST %p, Docker is looked for where it was said first", (setting, host, found) => {
	expect(findDocker(setting, host)).toMatchObject(found);
});
