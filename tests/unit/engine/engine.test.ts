import { expect, test } from "bun:test";
import { engineEvents } from "../../../src/engine/events.ts";
import { listContainers } from "../../../src/engine/containers.ts";
import { openEngine } from "../../../src/engine/engine.ts";
import { errorOf } from "../../../src/engine/error.ts";
import { pullImage, splitImage } from "../../../src/engine/images.ts";
import { engineTime } from "../../../src/engine/logs.ts";
import { coresBetween, type StatsSample } from "../../../src/engine/stats.ts";
import type { EngineRequest, EngineTransport } from "../../../src/engine/transport.ts";
import { negotiate } from "../../../src/engine/version.ts";
import { failureOf } from "../../support/failure.ts";

test.each([
	["1.41", "1.12", "1.41"],
	["1.44", "1.24", "1.44"],
	["1.52", "1.44", "1.52"],
	["1.60", "1.44", "1.52"],
	["1.100", "1.44", "1.52"],
	["1.41", undefined, "1.41"],
] as const)("H9: of an engine up to %s and from %s on, version %s is spoken", (newest, oldest, spoken) => {
	expect(negotiate({ newest, oldest })).toBe(spoken);
});

test.each([
	["1.40", "1.12", "update Docker"],
	["1.9", "1.0", "update Docker"],
	["1.60", "1.53", "update Muster"],
	["2", "1.12", "API version"],
	["", undefined, "API version"],
] as const)("H9: an engine up to %s and from %s on is refused with what to do: %s", (newest, oldest, remedy) => {
	expect(() => negotiate({ newest, oldest })).toThrow(remedy);
});

test.each([
	[404, '{"message":"No such container: x"}', "not_found", "No such container: x"],
	[409, '{"message":"in use"}', "conflict", "in use"],
	[400, '{"message":"bad spec"}', "docker_error", "bad spec"],
	[500, '{"message":"boom"}', "docker_error", "boom"],
	[502, "<html>", "docker_unavailable", "<html>"],
	[500, "", "docker_error", "HTTP 500 without a reason"],
	[500, '{"message":""}', "docker_error", '{"message":""}'],
] as const)("H12: Docker's %d %s is %s in Docker's own words", (status, body, code, message) => {
	expect(errorOf(status, body)).toMatchObject({ code, message, status });
});

test.each([
	["nginx", "nginx", "latest"],
	["nginx:1.27", "nginx", "1.27"],
	["registry:5000/a/b", "registry:5000/a/b", "latest"],
	["registry:5000/a/b:c", "registry:5000/a/b", "c"],
	["a@sha256:0123", "a@sha256:0123", undefined],
] as const)("H12: the image %s is pulled as %s with the tag %s, never all tags", (image, name, tag) => {
	expect(splitImage(image)).toEqual({ name, tag });
});

test("H10: a time keeps its nanoseconds on its way to Docker, and what is no time is named", () => {
	expect(engineTime("2026-11-01T12:00:00.123456789Z")).toBe("1793534400.123456789");
	expect(engineTime("2026-11-01T13:00:00+01:00")).toBe("1793534400.000000000");
	expect(() => engineTime("yesterday")).toThrow('"yesterday"');
});

test("H10: cores in use are the processor time between two samples; a container started anew has none yet", () => {
	const at = (atMs: number, cpuNanoseconds: number): StatsSample => ({
		atMs,
		cpuNanoseconds,
		memoryBytes: 0,
		memoryLimitBytes: 0,
		networkReceivedBytes: 0,
		networkSentBytes: 0,
	});
	expect(coresBetween(at(0, 0), at(2_000, 3e9))).toBe(1.5);
	expect(coresBetween(at(0, 5e9), at(1_000, 1e9))).toBeUndefined();
	expect(coresBetween(at(1_000, 0), at(1_000, 1e9))).toBeUndefined();
});

/** An engine that answers each path with this. */
function played(answers: Readonly<Record<string, readonly [number, ...string[]]>>, asked: EngineRequest[] = []): EngineTransport {
	return {
		async request(request) {
			asked.push(request);
			const [status, ...chunks] = answers[request.path] ?? [404, '{"message":"page not found"}'];
			async function* body() {
				for (const chunk of chunks) yield Buffer.from(chunk);
			}
			return { status, header: () => undefined, body: body() };
		},
		hijack: () => Promise.reject(new Error("not played")),
	};
}
const version = [200, '{"ApiVersion":"1.43","MinAPIVersion":"1.24"}'] as const;

test("H9: every call names the negotiated version; filters go as Docker wants them", async () => {
	const asked: EngineRequest[] = [];
	const engine = await openEngine(played({ "/version": version, "/v1.43/containers/json": [200, "[]"] }, asked));
	expect(await listContainers(engine, { label: ["a=b"] })).toEqual([]);
	expect(asked[1]?.query).toEqual({ all: "true", filters: '{"label":["a=b"]}' });
});

test("an answer of another form is an error that names path and place, not a fault later on", async () => {
	const engine = await openEngine(played({ "/version": version, "/v1.43/containers/json": [200, '[{"Id":7}]'] }));
	expect(await failureOf(listContainers(engine))).toMatchObject({
		code: "docker_error",
		message: expect.stringContaining("/containers/json"),
	});
	expect(await failureOf(openEngine(played({ "/version": [200, "<html>"] })))).toMatchObject({ code: "docker_error" });
});

test("H12: an error inside a pull's 200 is an error", async () => {
	const lines = ['{"status":"Pulling"}\n{"err', 'or":"denied","errorDetail":{"message":"access denied"}}\n'] as const;
	const engine = await openEngine(played({ "/version": version, "/v1.43/images/create": [200, ...lines] }));
	const seen: string[] = [];
	const pulled = (async () => {
		for await (const { status } of pullImage(engine, "a/b")) seen.push(status ?? "");
	})();
	expect(await failureOf(pulled)).toMatchObject({ code: "docker_error", message: "access denied" });
	expect(seen).toEqual(["Pulling"]);
});

test("H10: events come through cuts in the middle of a letter, and what is no event does not end them", async () => {
	const line = Buffer.from('{"Type":"container","Action":"start","Actor":{"ID":"1","Attributes":{"name":"ä"}},"time":5}\n{"odd":1}\n');
	const cut = line.indexOf(0xa4);
	const transport = played({ "/version": version });
	const engine = await openEngine({
		...transport,
		async request(request) {
			if (!request.path.endsWith("/events")) return transport.request(request);
			async function* body() {
				yield line.subarray(0, cut);
				yield line.subarray(cut);
			}
			return { status: 200, header: () => undefined, body: body() };
		},
	});
	const events = await Array.fromAsync(await engineEvents(engine, {}, undefined));
	expect(events.map(({ Action, Actor }) => [Action, Actor.Attributes])).toEqual([["start", { name: "ä" }]]);
});
