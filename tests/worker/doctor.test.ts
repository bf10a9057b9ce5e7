import { expect, test } from "bun:test";
import { chmodSync, mkdirSync, readdirSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { startControlPlane } from "../support/fakes/control-plane.ts";
import { Machine, runWorker } from "./support.ts";

const secondsForSlowMachines = 60_000;
const isRoot = process.getuid?.() === 0;
const nobody = 65_534;

interface Diagnosis {
	readonly code: number | string;
	readonly lines: readonly string[];
	/** The lines that begin with FAIL. */
	readonly failures: readonly string[];
}

/** Runs `muster-worker doctor`. Docker is asked at a socket that is not there, unless told otherwise. */
async function diagnose(machine: Machine, env: Readonly<Record<string, string>>, uid?: number): Promise<Diagnosis> {
	await using worker = await runWorker(machine, ["doctor"], env, uid === undefined ? {} : { uid });
	const code = await worker.exited;
	const lines = worker.stdout.split("\n").filter((line) => line !== "");
	return { code, lines, failures: lines.filter((line) => line.startsWith("FAIL")) };
}

async function listening(server: Server): Promise<AsyncDisposable & { readonly url: string }> {
	const open = new Set<Socket>();
	server.on("connection", (socket: Socket) => void open.add(socket.once("error", () => {})));
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	return {
		url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
		[Symbol.asyncDispose]() {
			for (const socket of open) socket.destroy();
			return new Promise<void>((resolve) => void server.close(() => resolve()));
		},
	};
}

const answering = (listener: RequestListener) => listening(createServer({ keepAlive: false }, listener));

test(
	"doctor on a host that is to enroll: all is well, nothing on disk changes, and no key is shown",
	async () => {
		await using plane = await startControlPlane();
		using machine = new Machine();
		const key = plane.mintKey("enroll");
		const before = readdirSync(machine.root);

		const { code, lines, failures } = await diagnose(machine, {
			MUSTER_URL: plane.url,
			MUSTER_ENROLL_TOKEN: key,
			MUSTER_WORKER_NAME: "edge-1",
		});

		expect({ code, failures }).toEqual({ code: 0, failures: [] });
		expect(lines.map((line) => line.slice(6, 21).trim())).toEqual([
			"configuration",
			"address",
			"clock",
			"state directory",
			"identity",
			"mesh",
			"docker",
		]);
		expect(lines.join("\n")).toContain(`${plane.url}/health/live answers in`);
		expect(lines.join("\n")).not.toContain(key);
		expect(readdirSync(machine.root)).toEqual(before);
		expect(plane.enrollCalls).toEqual([]);
	},
	secondsForSlowMachines,
);

test(
	"doctor beside a running worker: its directory is in use, its credential is accepted, and it goes on",
	async () => {
		await using plane = await startControlPlane();
		using machine = new Machine();
		const env = { MUSTER_URL: plane.url, MUSTER_ENROLL_TOKEN: plane.mintKey("enroll"), MUSTER_WORKER_NAME: "edge-1" };
		await using worker = await runWorker(machine, [], env);
		await plane.until(() => plane.beats.length >= 1);

		const { code, lines } = await diagnose(machine, {});

		expect(code).toBe(0);
		expect(lines.join("\n")).toContain(`a worker runs on it, pid ${worker.child.pid}`);
		expect(lines.join("\n")).toContain('the server takes the credential of worker "wrk_1"');
		expect(plane.connections).toHaveLength(1);
		expect(worker.child.exitCode).toBeNull();
	},
	secondsForSlowMachines,
);

test(
	"doctor says what to do about a refused credential, kept or given",
	async () => {
		await using plane = await startControlPlane();
		using machine = new Machine();
		const env = { MUSTER_URL: plane.url, MUSTER_ENROLL_TOKEN: plane.mintKey("enroll"), MUSTER_WORKER_NAME: "edge-1" };
		await using enrolling = await runWorker(machine, ["enroll"], env);
		expect(await enrolling.exited).toBe(0);
		plane.revoke("wrk_1");

		const kept = await diagnose(machine, {});
		const given = await diagnose(machine, {
			MUSTER_URL: plane.url,
			MUSTER_WORKER_ID: "wrk_1",
			MUSTER_WORKER_API_KEY: machine.read(".MUSTER_WORKER_API_KEY"),
		});

		expect([kept.code, given.code]).toEqual([1, 1]);
		expect(kept.failures).toEqual([expect.stringMatching(/^FAIL {2}identity .*refuses.*enroll again/)]);
		expect(given.failures).toEqual([expect.stringMatching(/^FAIL {2}identity .*refuses.*MUSTER_WORKER_API_KEY/)]);
	},
	secondsForSlowMachines,
);

test(
	"doctor finds a clock that is a day off",
	async () => {
		await using plane = await startControlPlane();
		using machine = new Machine();
		plane.clockOffsetMs = 86_400_000;
		const env = { MUSTER_URL: plane.url, MUSTER_ENROLL_TOKEN: plane.mintKey("enroll"), MUSTER_WORKER_NAME: "edge-1" };

		const { code, failures } = await diagnose(machine, env);

		expect(code).toBe(1);
		expect(failures).toEqual([expect.stringMatching(/^FAIL {2}clock .*(1 d|23 h 59 min).* behind the server's: set this machine's clock/)]);
	},
	secondsForSlowMachines,
);

test(
	"doctor tells apart the ways in which an address is wrong, each with its remedy, and never takes long",
	async () => {
		using machine = new Machine();
		await using other = await answering((_request, response) => void response.end("<html>not it</html>"));
		await using moved = await answering((_request, response) => void response.writeHead(301, { location: "https://muster.test" }).end());
		await using silent = await listening(createTcpServer());
		await using gone = await listening(createTcpServer((socket) => void socket.destroy()));
		const closed = await listening(createTcpServer());
		await closed[Symbol.asyncDispose]();
		const cases: readonly (readonly [string, RegExp])[] = [
			[closed.url, /cannot connect to 127\.0\.0\.1 port \d+ \(ECONNREFUSED\): check MUSTER_URL/],
			["http://no-such-name.invalid", /cannot resolve "no-such-name\.invalid" .*check MUSTER_URL/],
			[other.url, /answers HTTP 200 and not as a Muster server does: check MUSTER_URL/],
			[moved.url, /redirects \(HTTP 301\) to https:\/\/muster\.test: give the final address, check MUSTER_URL/],
			[gone.url, /does not answer \(.*\), though its port is open: check MUSTER_URL/],
			[silent.url, /does not answer \(no answer in time\), though its port is open: check MUSTER_URL/],
		];
		const env = { MUSTER_ENROLL_TOKEN: "", MUSTER_WORKER_ID: "wrk_1", MUSTER_WORKER_API_KEY: "some-key-of-the-admins" };
		const startedMs = performance.now();

		const found = await Promise.all(cases.map(([url]) => diagnose(machine, { ...env, MUSTER_URL: url })));

		expect(performance.now() - startedMs).toBeLessThan(30_000);
		for (const [index, { code, failures }] of found.entries()) {
			expect(code).toBe(1);
			expect(failures).toEqual([expect.stringMatching(/^FAIL {2}address {2}/)]);
			expect(failures[0]).toMatch(cases[index]?.[1] ?? /never/);
		}
	},
	secondsForSlowMachines,
);

test(
	"doctor names what is missing to enroll, and half a pair",
	async () => {
		using machine = new Machine();
		const nothing = await diagnose(machine, {});
		machine.write(".MUSTER_WORKER_ID", "wrk_1\n");
		const half = await diagnose(machine, {});

		expect([nothing.code, half.code]).toEqual([1, 1]);
		for (const variable of ["MUSTER_URL", "MUSTER_ENROLL_TOKEN", "MUSTER_WORKER_NAME"]) {
			expect(nothing.failures.join("\n")).toContain(`${variable} is not set`);
		}
		expect(half.failures.join("\n")).toMatch(/FAIL {2}identity .*put the missing file back/);
	},
	secondsForSlowMachines,
);

test(
	"doctor says how to mend a state directory that is open to others, in the way of a file, or not writable",
	async () => {
		await using plane = await startControlPlane();
		using machine = new Machine();
		const env = { MUSTER_URL: plane.url, MUSTER_ENROLL_TOKEN: plane.mintKey("enroll"), MUSTER_WORKER_NAME: "edge-1" };
		mkdirSync(machine.stateDir);
		machine.chmod(0o755);
		const shared = await diagnose(machine, env);
		const file = await diagnose(machine, { ...env, MUSTER_STATE_DIR: join(machine.machineIdFile, "below") });
		const locked = join(machine.root, "locked");
		mkdirSync(locked);
		chmodSync(locked, 0o555);
		const unwritable = await diagnose(machine, { ...env, MUSTER_STATE_DIR: join(locked, "state") }, isRoot ? nobody : undefined);

		expect([shared.code, file.code, unwritable.code]).toEqual([1, 1, 1]);
		expect(shared.failures).toEqual([expect.stringMatching(/^FAIL {2}state directory .*chmod 0700/)]);
		expect(file.failures).toEqual([expect.stringMatching(/^FAIL {2}state directory .*is no directory/)]);
		expect(unwritable.failures).toEqual([expect.stringMatching(/^FAIL {2}state directory .*MUSTER_STATE_DIR/)]);
		expect(readdirSync(locked)).toEqual([]);
	},
	secondsForSlowMachines,
);

test(
	"doctor asks Docker where DOCKER_HOST says: its version, or what to do when nothing is there",
	async () => {
		await using plane = await startControlPlane();
		using machine = new Machine();
		const { workerId, apiKey } = plane.createWorker("edge-1");
		const env = { MUSTER_URL: plane.url, MUSTER_WORKER_ID: workerId, MUSTER_WORKER_API_KEY: apiKey };
		await using daemon = await answering(
			(request, response) =>
				void response.end(
					request.url === "/version"
						? '{"ApiVersion":"1.52","MinAPIVersion":"1.44"}'
						: '{"ID":"engine-1","Name":"edge","ServerVersion":"29.1.0"}',
				),
		);
		const there = await diagnose(machine, { ...env, DOCKER_HOST: daemon.url.replace("http:", "tcp:") });
		const absent = await diagnose(machine, { ...env, DOCKER_HOST: `unix://${machine.root}/no.sock` });
		const remote = await diagnose(machine, { ...env, DOCKER_HOST: "ssh://me@host" });

		expect([there.code, absent.code, remote.code]).toEqual([0, 1, 0]);
		expect(there.lines.at(-1)).toMatch(/^ok {4}docker .*Docker 29\.1\.0 at tcp:/);
		expect(absent.failures).toEqual([expect.stringMatching(/^FAIL {2}docker .*no\.sock: install and start Docker/)]);
		expect(remote.lines.at(-1)).toMatch(/^skip {2}docker/);
	},
	secondsForSlowMachines,
);
