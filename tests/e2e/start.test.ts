/** `npm start` and its neighbours as a newcomer and an operator use them, on both runtimes. */
import { describe, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import process from "node:process";
import * as v from "valibot";
import { ask } from "../../scripts/demo/live.ts";
import { removeDataDir } from "../../src/db/embedded-files.ts";
import { asAdmin, type Muster, type MusterOptions, startMuster, temporaryDataDir } from "../support/muster.ts";
import { commandFor, root, runtimeNames } from "../support/runtimes.ts";
import { Machine, RunningWorker, workerBinary } from "../worker/support.ts";
import { soon, testMs, until } from "./support.ts";

/** A data directory that outlives the servers which use it, and the servers. */
class DataDir implements AsyncDisposable {
	readonly path: string;
	readonly #servers: Muster[] = [];

	private constructor(path: string) {
		this.path = path;
	}

	static async make(): Promise<DataDir> {
		return new DataDir(await temporaryDataDir());
	}

	async start(options: MusterOptions): Promise<Muster> {
		const server = await startMuster({ ...options, dataDir: this.path });
		this.#servers.push(server);
		return server;
	}

	/** PostgreSQL processes that run on this directory's cluster. */
	postgres(): readonly string[] {
		const home = this.#clusterHome();
		return readdirSync("/proc")
			.filter((name) => /^\d+$/.test(name))
			.map(commandLine)
			.filter((line) => line.includes("postgres") && line.includes(home));
	}

	#clusterHome(): string {
		try {
			return readFileSync(join(this.path, "postgres-location"), "utf8").trim();
		} catch {
			return this.path;
		}
	}

	async [Symbol.asyncDispose](): Promise<void> {
		for (const server of this.#servers) await server.stop();
		await removeDataDir(this.path);
		await rm(dirname(this.path), { recursive: true, force: true });
	}
}

function commandLine(pid: string): string {
	try {
		return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
	} catch {
		// It has ended meanwhile.
		return "";
	}
}

async function siteCodes(server: { readonly url: string; readonly adminToken: string }): Promise<readonly string[]> {
	const shape = v.object({ sites: v.object({ nodes: v.array(v.object({ code: v.string() })) }) });
	const { sites } = await ask({ url: server.url, token: server.adminToken }, shape, "{ sites { nodes { code } } }");
	return sites.nodes.map(({ code }) => code);
}

function createSite(server: Muster, code: string): Promise<unknown> {
	return asAdmin(server, "mutation ($code: String!) { createSite(input: { code: $code }) { site { id } } }", { code });
}

/** Runs a command to its end. */
async function run(command: readonly string[], env: Readonly<Record<string, string>>) {
	const [file = "", ...args] = command;
	const child = spawn(file, args, {
		cwd: root,
		env: { PATH: process.env.PATH ?? "", HOME: process.env.HOME ?? "/", ...env },
		stdio: ["ignore", "pipe", "pipe"],
	});
	let [stdout, stderr] = ["", ""];
	child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
	child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
	const code = await soon(`the end of ${file}`, new Promise<number | null>((resolve) => child.once("close", resolve)));
	return { code, stdout, stderr };
}

describe.each([...runtimeNames])("on %s", (runtime) => {
	test(
		"H1 A15: a first start says where everything is, and its enroll line works when it is pasted",
		async () => {
			await using data = await DataDir.make();
			using machine = new Machine();
			await workerBinary();
			const server = await data.start({ runtime });

			expect(server.announcement).toContain(`${server.url}/graphql`);
			expect(server.announcement).toContain(join(data.path, "admin-token"));
			const [, line] = /Enroll this machine.*\n\s+(\S.*)\n/.exec(server.announcement) ?? [];
			// Only what keeps it off this machine's own identity is added.
			const pasted = `${line} --state-dir '${machine.stateDir}' --machine-id-file '${machine.machineIdFile}' --log-format json`;
			const env = { PATH: process.env.PATH ?? "", HOME: machine.root };
			// A group of its own, so that it can be sent what a terminal sends.
			const child = spawn("sh", ["-c", pasted], { cwd: machine.root, env, stdio: ["ignore", "pipe", "pipe"], detached: true });
			await using worker = new RunningWorker(child);
			await soon("the connection", worker.line("worker.connected"));
			process.kill(-(child.pid ?? 0), "SIGTERM");

			expect(await soon("the worker's last line", worker.line("worker.stopped"))).toMatchObject({ exitCode: 0 });
			await soon("the end of the pasted line", worker.exited);
			expect(await siteCodes(server)).toEqual(["home"]);
		},
		testMs,
	);

	test(
		"G4: SIGTERM ends the server with 0 and its PostgreSQL with it; the next start finds the data",
		async () => {
			await using data = await DataDir.make();
			const first = await data.start({ runtime });
			await createSite(first, "kept");
			expect(data.postgres()).not.toHaveLength(0);
			first.kill("SIGTERM");

			expect(await soon("the server's end", first.ended)).toBe(0);

			expect(data.postgres()).toHaveLength(0);
			const second = await data.start({ runtime });
			expect(await siteCodes(second)).toEqual(["kept", "home"]);
		},
		testMs,
	);

	test(
		"G4: after kill -9 of the server the next start works, finds the data, and leaves nothing behind when it is stopped",
		async () => {
			await using data = await DataDir.make();
			const first = await data.start({ runtime });
			await createSite(first, "kept");
			first.kill("SIGKILL");
			await soon("the server's end", first.ended);
			const second = await data.start({ runtime });

			expect(await siteCodes(second)).toEqual(["kept", "home"]);

			second.kill("SIGTERM");
			expect(await soon("the second server's end", second.ended)).toBe(0);
			await until("the end of PostgreSQL", () => data.postgres().length === 0 || undefined);
		},
		testMs,
	);

	test(
		"a wrong configuration ends the start with 78 and names every problem at once, before anything is made",
		async () => {
			await using data = await DataDir.make();
			const wrong = {
				MUSTER_DATA_DIR: data.path,
				MUSTER_LISTEN: "nowhere",
				MUSTER_HEARTBEAT_SECONDS: "soon",
				MUSTER_HEARTBEAT_SECOND: "1",
			};
			const { code, stdout, stderr } = await run(commandFor(runtime, "src/main.ts", ["serve"]), wrong);

			expect(code).toBe(78);

			expect(stdout).toBe("");
			for (const name of ["MUSTER_LISTEN", "MUSTER_HEARTBEAT_SECONDS", "MUSTER_HEARTBEAT_SECOND is unknown"])
				expect(stderr).toContain(name);
			expect(readdirSync(dirname(data.path))).toEqual([]);
		},
		testMs,
	);

	test(
		"A15: npm run token prints one JWT and nothing else, and the server believes it",
		async () => {
			await using data = await DataDir.make();
			// Empty is unset: the secret is the generated one in the data directory.
			const server = await data.start({ runtime, env: { MUSTER_JWT_SECRET: "" } });
			const env = { MUSTER_DATA_DIR: data.path, RUNTIME: runtime };
			const { code, stdout } = await run(["npm", "run", "token", "--", "--role", "admin"], env);

			expect(code).toBe(0);

			expect(stdout).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/);
			expect(await siteCodes({ url: server.url, adminToken: stdout.trim() })).toEqual(["home"]);
		},
		testMs,
	);
});
