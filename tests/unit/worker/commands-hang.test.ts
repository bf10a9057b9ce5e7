/** An engine that takes requests and never answers: whoever asked is told which call hung, and the next in the lane goes on (H12). */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
	createContainer,
	inspectContainer,
	removeContainer,
	restartContainer,
	startContainer,
	stopContainer,
} from "../../../src/engine/containers.ts";
import { type Engine, openEngine } from "../../../src/engine/engine.ts";
import { engineEvents } from "../../../src/engine/events.ts";
import { createExec, startExec } from "../../../src/engine/exec.ts";
import { importImage, pullImage, removeImage } from "../../../src/engine/images.ts";
import { containerLogs } from "../../../src/engine/logs.ts";
import { createNetwork } from "../../../src/engine/networks.ts";
import { silentLog } from "../../../src/lib/log.ts";
import { systemRandom } from "../../../src/lib/random.ts";
import type { CommandFrame, CommandReport } from "../../../src/protocol/commands.ts";
import { Commands } from "../../../worker/commands.ts";
import { openJournal } from "../../../worker/commands-journal.ts";
import { dockerTransport } from "../../../worker/docker-transport.ts";
import { failureOf } from "../../support/failure.ts";
import { until } from "../../support/until.ts";
import { FakeDisk } from "./fake-disk.ts";
import { FakeTime } from "./fake-time.ts";

const details = {
	Id: "c1",
	Name: "/web",
	Created: "",
	Image: "",
	State: { Status: "running", Running: true, ExitCode: 0, StartedAt: "", FinishedAt: "" },
};
let place: string;
let server: Server;
/** What is answered although the engine hangs; the rest waits for good. */
let answered: RegExp;
let hung: { readonly line: string; readonly response: ServerResponse }[];
/** Long enough for what is answered, on any machine. */
const short = { answerMs: 2_000, workMs: 2_000, silenceMs: 2_000 };
const open = (): Promise<Engine> => openEngine(dockerTransport({ socketPath: join(place, "docker.sock") }), {}, short);
/** Lets more time pass than anything here may take: that of two calls that hang, one after the other. */
const wait = async () => {
	for (let times = 0; times < 2; times++) await failureOf(inspectContainer(await open(), "hangs"));
};

beforeEach(async () => {
	place = mkdtempSync(join(tmpdir(), "muster-hang-"));
	answered = /version|c[0-9]\/json/;
	hung = [];
	server = createServer((request, response) => {
		const line = `${request.method} ${request.url?.replace(/^\/v1\.\d+/, "")}`;
		if (!answered.test(line)) return void hung.push({ line, response });
		const body = line.includes("version") ? { ApiVersion: "1.43", MinAPIVersion: "1.24" } : { ...details, Config: {} };
		response.end(JSON.stringify(body));
	});
	await new Promise<void>((resolve) => server.listen(join(place, "docker.sock"), resolve));
});
afterEach(async () => {
	server.closeAllConnections();
	await new Promise((resolve) => server.close(resolve));
	rmSync(place, { recursive: true, force: true });
});

async function first(stream: AsyncIterable<unknown>): Promise<unknown> {
	for await (const one of stream) return one;
	return undefined;
}

const create = { command: ["true"], env: [], workingDir: null, user: null, tty: false, stdin: false };
const range = { follow: true, tail: null, since: null, timestamps: false };
const calls: Readonly<Record<string, (engine: Engine) => Promise<unknown>>> = {
	"GET /containers/hangs/json": (engine) => inspectContainer(engine, "hangs"),
	"POST /containers/create": (engine) => createContainer(engine, null, { Image: "tiny" }),
	"POST /containers/c1/start": (engine) => startContainer(engine, "c1"),
	"POST /containers/c1/stop": (engine) => stopContainer(engine, "c1", 0),
	"POST /containers/c1/restart": (engine) => restartContainer(engine, "c1", 0),
	"DELETE /containers/c1": (engine) => removeContainer(engine, "c1", { force: true, volumes: true }),
	"DELETE /images/tiny": (engine) => removeImage(engine, "tiny"),
	"POST /networks/create": (engine) => createNetwork(engine, { Name: "n" }),
	"POST /containers/c1/exec": (engine) => createExec(engine, "c1", create),
	"POST /exec/e1/start": (engine) => first(startExec(engine, "e1", false)),
	"GET /containers/c1/logs": (engine) => first(containerLogs(engine, "c1", range)),
	"GET /events": (engine) => engineEvents(engine, {}, undefined),
	"POST /images/create": (engine) => first(pullImage(engine, "tiny:1")),
};

test("H12: whatever is never answered fails, and says what hung", async () => {
	const engine = await open();
	const faults = await Promise.all(Object.entries(calls).map(async ([call, work]) => [call, await failureOf(work(engine))] as const));
	for (const [call, fault] of faults) {
		expect(fault).toMatchObject({ name: "EngineError", code: "docker_unavailable" });
		expect(String(fault)).toContain(`Docker did not answer ${call} within 2 s`);
		expect(String(fault).includes("it may still do it")).toBe(!call.startsWith("GET"));
	}
});

test("H12: an engine that does not even tell its version is not waited for", async () => {
	answered = /nothing/;
	expect(String(await failureOf(open()))).toContain("GET /version");
});

test("H12: an import that is never answered fails too", async () => {
	expect(String(await failureOf(importImage(await open(), new Uint8Array(8), { name: "a", tag: "b" })))).toContain("POST /images/create");
});

test("H12: a pull that tells nothing for too long fails; one whose reader takes its time does not", async () => {
	const lines = pullImage(await open(), "tiny:1");
	const next = lines.next();
	const { response } = await until("it is asked", () => hung[0]);
	response.write('{"status":"Pulling"}\n');
	expect((await next).value).toEqual({ status: "Pulling" });
	await wait();
	response.write('{"status":"Downloading"}\n');
	expect((await lines.next()).value).toEqual({ status: "Downloading" });
	expect(String(await failureOf(lines.next()))).toContain("POST /images/create within 2 s");
});

test("H10: a log that has begun may be silent as long as it likes", async () => {
	const lines = containerLogs(await open(), "c1", range);
	const next = lines.next();
	const { response } = await until("it is asked", () => hung[0]);
	response.writeHead(200);
	response.flushHeaders();
	await wait();
	response.write(Buffer.from([1, 0, 0, 0, 0, 0, 0, 2, 0x6f, 0x6b]));
	const { value } = await next;
	expect([value?.stream, Buffer.from(value?.data ?? []).toString()]).toEqual(["STDOUT", "ok"]);
	await lines.return(undefined);
});

test("H12: a stop has its container's own grace on top", async () => {
	const engine = await open();
	const asked = stopContainer(engine, "c1", null);
	const { response } = await until("it is asked", () => hung[0]);
	await wait();
	response.writeHead(204).end();
	expect(await asked).toBe(true);
});

test("H12: a change that hangs ends as failed, and the next in the ordered lane is begun", async () => {
	const reports: CommandReport[] = [];
	let tell: (frame: CommandFrame) => void = () => {};
	const socket = {
		listen: (_: string, { next }: { next: (data: unknown) => void }) => {
			tell = (frame) => next({ commands: frame });
		},
	};
	const uplink = {
		socket,
		async insist(_: string, input: CommandReport) {
			reports.push(input);
			return { reportCommand: { state: input.state } };
		},
	};
	const time = new FakeTime();
	const engine = await open();
	const commands = new Commands({
		uplink: uplink as never,
		log: silentLog,
		counted: () => {},
		clock: time,
		timers: time,
		random: systemRandom,
		journal: openJournal(new FakeDisk(), "/s"),
		fuse: { refusal: () => undefined } as never,
		docker: { connect: async () => ({ engine, info: { id: "e" } }), noteFault: () => {}, wanted: true } as never,
	});
	commands.opened(socket as never);
	const order = (commandId: string, container: string) =>
		tell({ type: "ORDER", commandId, kind: "container.start", params: { container }, deadline: null, data: null, end: null });
	order("one", "c1");
	order("two", "c2");
	await until("the second is begun", () => hung.some(({ line }) => line.startsWith("POST /containers/c1/start")) && hung.length === 2);
	const failed = await until("the first has ended", () =>
		reports.find(({ commandId, state }) => commandId === "one" && state === "FAILED"),
	);
	expect(failed.error).toMatchObject({
		code: "docker_unavailable",
		message: expect.stringContaining("POST /containers/c1/start within 2 s"),
	});
	commands.stop();
});
