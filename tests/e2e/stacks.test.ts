/** Stacks the whole way: the API, the queue, a compiled worker, the real Docker Engine; and servers and workers that are killed while one is deployed. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { createServer, connect, type Server } from "node:net";
import { type TestDatabase, testDatabase } from "../support/db.ts";
import { asAdmin, type Muster, startMuster } from "../support/muster.ts";
import { readOutput, textOf } from "../api/commands-support.ts";
import { change, stackOf } from "../api/stacks-support.ts";
import { newSite } from "../api/support.ts";
import type { RuntimeName } from "../support/runtimes.ts";
import { Machine, type RunningWorker, runWorker } from "../worker/support.ts";
import { docker, hasEngine, makeImage, sweep } from "./stacks-support.ts";
import { testMs, until } from "./support.ts";

const run = crypto.randomUUID().slice(0, 8);
const name = `muster-stacks-all-${run}`;
const image = `muster-stacks-all:${run}`;
const waits = "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done";
/** db is healthy once the test makes the file: until then a deployment is in the middle. */
const compose = (colour: string) => `
x-app: &app
  image: ${image}
  stop_grace_period: 5s
services:
  db:
    <<: *app
    command: ["sh", "-c", ${JSON.stringify(waits.replaceAll("$", "$$$$"))}]
    volumes: [data:/data]
    healthcheck: { test: "test -f /data/ready", interval: 200ms, retries: 1000 }
  setup:
    <<: *app
    command: ["sh", "-c", "echo once >> /data/setups"]
    volumes: [data:/data]
    depends_on: { db: { condition: service_healthy } }
  web:
    <<: *app
    command: ["sh", "-c", ${JSON.stringify(waits.replaceAll("$", "$$$$"))}]
    environment: { COLOUR: ${colour}, TOKEN: "\${TOKEN}" }
    depends_on: { setup: { condition: service_completed_successfully } }
volumes: { data: }
`;
const environment = [{ key: "TOKEN", value: "a token of the end-to-end test" }];

/** One address for several servers: it leads to the one that is up. */
class Door implements AsyncDisposable {
	to = 0;
	readonly #server: Server;
	constructor() {
		this.#server = createServer((near) => {
			const far = connect(this.to, "127.0.0.1");
			near.pipe(far).pipe(near);
			near.on("error", () => far.destroy());
			far.on("error", () => near.destroy());
			far.on("close", () => near.destroy());
			near.on("close", () => far.destroy());
		});
	}
	async open(): Promise<string> {
		await new Promise<void>((resolve) => {
			this.#server.listen(0, "127.0.0.1", resolve);
		});
		const address = this.#server.address();
		return `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`;
	}
	lead(server: Muster): void {
		this.to = Number(new URL(server.url).port);
	}
	async [Symbol.asyncDispose](): Promise<void> {
		this.#server.close();
	}
}

describe.skipIf(!hasEngine)("H12: stacks from the API to the engine (needs a Docker engine, and a static busybox)", () => {
	const machine = new Machine();
	const door = new Door();
	let database: TestDatabase;
	let server: Muster;
	const workers: RunningWorker[] = [];
	let hostId = "";
	let settings: Readonly<Record<string, string>> = {};
	const servers: Muster[] = [];

	async function startServer(runtime: RuntimeName): Promise<Muster> {
		server = await startMuster({ runtime, databaseUrl: database.url, env: { MUSTER_HEARTBEAT_SECONDS: "1" } });
		servers.push(server);
		door.lead(server);
		return server;
	}
	beforeAll(async () => {
		makeImage(image);
		database = await testDatabase();
		settings = { MUSTER_URL: await door.open(), MUSTER_WORKER_NAME: "edge-1" };
		await startServer("bun");
		const site = await newSite(server);
		settings = { ...settings, MUSTER_SITE_CODE: site.siteCode, MUSTER_ENROLL_TOKEN: site.key };
		workers.push(await runWorker(machine, [], settings));
		hostId = await until("the host", async () => {
			const { hosts } = await asAdmin(server, "{ hosts { nodes { id state } } }");
			return hosts.nodes[0]?.state === "MONITORING" ? String(hosts.nodes[0].id) : undefined;
		});
		await asAdmin(server, "mutation ($id: ID!) { fuseHost(id: $id, provider: DOCKER) { host { state } } }", { id: hostId });
		await until("the host fused", async () => {
			const { host } = await asAdmin(server, "query ($id: ID) { host(id: $id) { state } }", { id: hostId });
			return host.state === "FUSED";
		});
	}, testMs);
	afterEach(() => sweep(name), testMs);
	afterAll(async () => {
		for (const one of workers) await one[Symbol.asyncDispose]();
		for (const one of servers) await one.stop();
		await door[Symbol.asyncDispose]();
		await database.drop();
		machine[Symbol.dispose]();
		spawnSync("docker", ["rmi", "--force", image], { stdio: "ignore" });
	}, testMs);

	/** Service and number → id. */
	const ids = (): Record<string, string> => {
		const listed = docker(
			"ps",
			"--all",
			"--no-trunc",
			"--filter",
			`label=com.docker.compose.project=${name}`,
			"--format",
			"{{.Names}} {{.ID}}",
		);
		const pairs = listed
			.split("\n")
			.filter(Boolean)
			.map((line): [string, string] => [line.split(" ")[0]?.slice(name.length + 1) ?? "", line.split(" ")[1] ?? ""]);
		return Object.fromEntries(pairs.toSorted(([left], [right]) => (left < right ? -1 : 1)));
	};
	const ready = () => docker("exec", `${name}-db-1`, "touch", "/data/ready");
	const setups = () => docker("exec", `${name}-db-1`, "cat", "/data/setups").split("\n").length;
	const commandOf = async (id: string) =>
		(await asAdmin(server, "query ($id: ID!) { command(id: $id) { state result errorMessage } }", { id })).command;
	const ended = (id: string) =>
		until(`the end of ${id}`, async () => {
			const command = await commandOf(id);
			return ["QUEUED", "RUNNING"].includes(command.state) ? undefined : command;
		});
	const deploy = async (colour = "red") =>
		(await change(server, "deployStack", { hostId, name, compose: compose(colour), environment })).command;
	const inTheMiddle = () =>
		until("db runs", () => docker("ps", "--quiet", "--filter", `name=^${name}-db-1$`, "--filter", "status=running") !== "");
	const stack = () => stackOf(server, hostId, name);

	test(
		"three services are deployed, scaled, changed one by one and removed, with a line of output for each thing that is done",
		async () => {
			const first = await deploy();
			const reading = readOutput(server, first.id);
			await inTheMiddle();
			ready();
			expect(await ended(first.id)).toMatchObject({ state: "SUCCEEDED" });
			expect(Object.keys(ids())).toEqual(["db-1", "setup-1", "web-1"]);
			await until("the output", () => textOf(reading).includes(`container ${name}-web-1: started`));
			await reading.stop();
			const before = ids();

			const scaled = await change(server, "scaleStack", { hostId, name, service: "web", replicas: 3 });
			expect(await ended(scaled.command.id)).toMatchObject({ state: "SUCCEEDED" });
			expect(Object.keys(ids())).toEqual(["db-1", "setup-1", "web-1", "web-2", "web-3"]);
			expect(ids()).toMatchObject(before);

			const again = await change(server, "redeployStack", { hostId, name });
			expect(await ended(again.command.id)).toMatchObject({ state: "SUCCEEDED", result: { steps: 0 } });

			expect(await ended((await deploy("green")).id)).toMatchObject({ state: "SUCCEEDED" });
			const { "web-1": web, ...others } = ids();
			const { "web-1": formerWeb, ...formerOthers } = before;
			expect(others).toEqual(formerOthers);
			expect(web).not.toBe(formerWeb);
			expect(docker("exec", `${name}-web-1`, "sh", "-c", "echo $COLOUR $TOKEN")).toBe(`green ${environment[0]?.value}`);
			expect(setups()).toBe(1);

			const removed = await change(server, "removeStack", { hostId, name, volumes: true });
			expect(await ended(removed.command.id)).toMatchObject({ state: "SUCCEEDED" });
			expect([ids(), await stack()]).toEqual([{}, null]);
			expect(docker("volume", "ls", "--quiet", "--filter", `name=${name}`)).toBe("");
		},
		testMs,
	);

	test(
		"a server that is killed in the middle of a deployment: another one sees it to its end, and nothing is done twice (H13)",
		async () => {
			const { id } = await deploy();
			await inTheMiddle();
			const [db, former] = [ids()["db-1"], server];
			former.kill("SIGKILL");
			await former.ended;
			await startServer("deno");
			expect((await commandOf(id)).state).toBe("RUNNING");
			ready();
			expect(await ended(id)).toMatchObject({ state: "SUCCEEDED" });
			expect(Object.keys(ids())).toEqual(["db-1", "setup-1", "web-1"]);
			expect([ids()["db-1"], setups()]).toEqual([db, 1]);
			const audit = await database.db.sql`select action from audit where subject = ${id} order by id`;
			expect(audit.map(({ action }) => action)).toEqual(["command.succeeded"]);
			expect(await stack()).toMatchObject({ revision: expect.any(Number), services: [{ name: "db" }, { name: "setup" }, { name: "web" }] });
		},
		testMs,
	);

	test(
		"a worker that is killed in the middle of a deployment goes on with it when it is back, and nothing is done twice (H13)",
		async () => {
			const { id } = await deploy("blue");
			await inTheMiddle();
			const db = ids()["db-1"];
			await workers.at(-1)?.[Symbol.asyncDispose]();
			ready();
			workers.push(await runWorker(machine, [], settings));
			expect(await ended(id)).toMatchObject({ state: "SUCCEEDED" });
			expect(Object.keys(ids())).toEqual(["db-1", "setup-1", "web-1"]);
			expect([ids()["db-1"], setups()]).toEqual([db, 1]);
		},
		testMs,
	);
});
