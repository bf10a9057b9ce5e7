/** Stacks on a real Docker Engine, through src/engine alone, as worker and server use it. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { type Engine, openEngine } from "../../src/engine/engine.ts";
import { convergeStack, removeStack, scaleStack } from "../../src/engine/stack-converge.ts";
import type { StackModel, StackService } from "../../src/engine/stack-model.ts";
import type { EngineTransport } from "../../src/engine/transport.ts";
import { dockerTransport } from "../../worker/docker-transport.ts";
import { failureOf } from "../support/failure.ts";
import { needs, network, service, volume } from "../support/stack-models.ts";
import { docker, hasEngine, makeImage, sweep } from "./stacks-support.ts";
import { testMs } from "./support.ts";

const run = crypto.randomUUID().slice(0, 8);
const project = `muster-stacks-${run}`;
const image = `muster-stacks:${run}`;
/** The docker-compose program of version 2, for those who have it: what it understands of our labels. */
const compose = process.env["TEST_DOCKER_COMPOSE"] ?? "";
const sh = (line: string) => ["sh", "-c", line];
const waits = "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done";
const health = (line: string) => ({
	test: ["CMD-SHELL", line],
	interval: 200_000_000,
	timeout: 5_000_000_000,
	startPeriod: 0,
	retries: 50,
});

function app(name: string, its: Partial<StackService> = {}): StackService {
	return service(name, { image, command: sh(waits), ...its });
}

/** Three services: `db` with a volume and a healthcheck, `setup` that runs once when db is healthy, `web` after both. */
function shop(its: { readonly web?: Partial<StackService>; readonly setup?: Partial<StackService> } = {}): StackModel {
	return {
		project,
		services: [
			app("web", { dependsOn: [needs("db", "service_healthy"), needs("setup", "service_completed_successfully")], ...its.web }),
			app("setup", { command: sh("echo once >> /data/setups"), mounts: [data], dependsOn: [needs("db", "service_healthy")], ...its.setup }),
			app("db", { command: sh(`sleep 1; touch /tmp/ready; ${waits}`), mounts: [data], healthcheck: health("test -f /tmp/ready") }),
		],
		networks: [network("default", { name: `${project}_default` }), network("back", { name: `${project}_back` })],
		volumes: [volume("data", { name: `${project}_data` })],
	};
}
const onDefault = { key: "default", aliases: [], ipv4Address: null };
const data = {
	type: "volume",
	source: "data",
	target: "/data",
	readOnly: false,
	noCopy: false,
	createHostPath: false,
	tmpfsBytes: 0,
} as const;

describe.skipIf(!hasEngine)("H12: stacks on a Docker Engine (needs one, and a static busybox)", () => {
	let engine: Engine;
	beforeAll(async () => {
		makeImage(image);
		engine = await openEngine(dockerTransport({ socketPath: "/var/run/docker.sock" }));
	}, testMs);
	afterEach(() => sweep(project), testMs);
	afterAll(() => void spawnSync("docker", ["rmi", "--force", image], { stdio: "ignore" }), testMs);

	const lines: string[] = [];
	const runs = () => {
		lines.length = 0;
		return { signal: new AbortController().signal, say: (line: string) => void lines.push(line) };
	};
	/** Name → id of the project's containers. */
	const ids = (): Record<string, string> => {
		const listed = docker(
			"ps",
			"--all",
			"--no-trunc",
			"--filter",
			`label=com.docker.compose.project=${project}`,
			"--format",
			"{{.Names}} {{.ID}}",
		);
		return Object.fromEntries(
			listed
				.split("\n")
				.filter(Boolean)
				.map((line) => line.split(" ") as [string, string])
				.toSorted(([left], [right]) => (left < right ? -1 : 1)),
		);
	};
	const name = (rest: string) => `${project}-${rest}`;
	const setups = () => docker("exec", name("db-1"), "cat", "/data/setups").split("\n").length;

	test(
		"three services come up in order, are scaled, changed one by one, and removed",
		async () => {
			await convergeStack(engine, shop(), runs());
			expect(Object.keys(ids())).toEqual([name("db-1"), name("setup-1"), name("web-1")]);
			expect(lines.filter((line) => line.endsWith(": started"))).toEqual(
				["db-1", "setup-1", "web-1"].map((it) => `container ${name(it)}: started`),
			);
			const first = ids();

			expect((await convergeStack(engine, shop(), runs())).steps).toBe(0);
			expect(lines).toEqual([`stack ${project}: nothing to do`]);
			expect(setups()).toBe(1);

			await scaleStack(engine, shop(), { service: "web", replicas: 3 }, runs());
			expect(ids()).toEqual({ ...first, ...ids() });
			expect(Object.keys(ids())).toEqual(["db-1", "setup-1", "web-1", "web-2", "web-3"].map(name));
			await scaleStack(engine, shop(), { service: "web", replicas: 1 }, runs());
			expect(ids()).toEqual(first);

			const changed = shop({
				web: {
					environment: { COLOUR: "green" },
					networks: [onDefault, { key: "back", aliases: ["shop"], ipv4Address: null }],
				},
			});
			await convergeStack(engine, changed, runs());
			const { [name("web-1")]: newWeb, ...rest } = ids();
			const { [name("web-1")]: oldWeb, ...before } = first;
			expect(rest).toEqual(before);
			expect(newWeb).not.toBe(oldWeb);
			expect(docker("exec", name("web-1"), "sh", "-c", "echo $COLOUR")).toBe("green");
			expect(
				docker("inspect", name("web-1"), "--format", "{{range $k, $v := .NetworkSettings.Networks}}{{$k}} {{end}}").split(" "),
			).toEqual([`${project}_back`, `${project}_default`]);

			const smaller: StackModel = {
				...shop(),
				services: shop().services.filter((it) => it.name === "db"),
				networks: shop().networks.slice(0, 1),
			};
			await convergeStack(engine, smaller, runs());
			expect(Object.keys(ids())).toEqual([name("db-1")]);
			expect(docker("network", "ls", "--filter", `name=${project}`, "--format", "{{.Name}}")).toBe(`${project}_default`);

			await removeStack(engine, project, { volumes: false }, runs());
			expect(ids()).toEqual({});
			expect(docker("volume", "ls", "--filter", `name=${project}`, "--quiet")).toBe(`${project}_data`);
			await removeStack(engine, project, { volumes: true }, runs());
			expect(docker("volume", "ls", "--filter", `name=${project}`, "--quiet")).toBe("");
			expect(docker("network", "ls", "--filter", `name=${project}`, "--quiet")).toBe("");
		},
		testMs,
	);

	test(
		"a deployment that ends after any of its requests to Docker is finished by the next one, and nothing is made twice",
		async () => {
			const changes = await deployUntilKilledAfter(Number.POSITIVE_INFINITY);
			expect(changes).toBeGreaterThan(8);
			for (let at = 1; at < changes; at++) {
				sweep(project);
				const creates = { count: 0 };
				await deployUntilKilledAfter(at, creates);
				await deployUntilKilledAfter(Number.POSITIVE_INFINITY, creates);
				expect([at, Object.keys(ids()), creates.count, setups()]).toEqual([at, ["db-1", "setup-1", "web-1"].map(name), 3, 1]);
			}
		},
		testMs * 3,
	);

	test(
		"a change that ends after any of its requests to Docker is finished by the next one: one container of a name, none left over",
		async () => {
			await convergeStack(engine, shop(), runs());
			for (let at = 1, round = 0; ; at++, round++) {
				const model = shop({ web: { environment: { ROUND: String(round) } } });
				const creates = { count: 0 };
				const made = await deployUntilKilledAfter(at, creates, model);
				await deployUntilKilledAfter(Number.POSITIVE_INFINITY, creates, model);
				expect([at, Object.keys(ids()), creates.count]).toEqual([at, ["db-1", "setup-1", "web-1"].map(name), 1]);
				expect(docker("exec", name("web-1"), "sh", "-c", "echo $ROUND")).toBe(String(round));
				if (made < at) break;
			}
			expect(setups()).toBe(1);
		},
		testMs * 3,
	);

	test(
		"two deployments of one stack at once end with one container of each service",
		async () => {
			const ends = await Promise.allSettled([convergeStack(engine, shop(), runs()), convergeStack(engine, shop(), runs())]);
			expect(ends.map(({ status }) => status)).toContain("fulfilled");
			await convergeStack(engine, shop(), runs());
			expect(Object.keys(ids())).toEqual(["db-1", "setup-1", "web-1"].map(name));
		},
		testMs,
	);

	test(
		"what waits for a service that fails is not started, and the error names it; cancelled, it ends at once",
		async () => {
			const broken = shop({ setup: { command: sh("exit 3") } });
			expect(await failureOf(convergeStack(engine, broken, runs()))).toMatchObject({
				code: "docker_error",
				message: `Container ${name("setup-1")} ended with code 3; see its log`,
			});
			expect(Object.keys(ids())).toEqual(["db-1", "setup-1"].map(name));
			sweep(project);

			const controller = new AbortController();
			const never = shop();
			const say = (line: string) => line.includes("waits") && controller.abort(new Error("no longer wanted"));
			expect(await failureOf(convergeStack(engine, never, { signal: controller.signal, say }))).toMatchObject({
				message: "no longer wanted",
			});
		},
		testMs,
	);

	test(
		"what a container keeps in a volume without a name goes on to the one that takes its place",
		async () => {
			const mounts = [{ ...data, source: null, target: "/kept" }];
			await convergeStack(engine, shop({ web: { mounts } }), runs());
			docker("exec", name("web-1"), "sh", "-c", "echo precious > /kept/it");
			await convergeStack(engine, shop({ web: { mounts, labels: { changed: "yes" } } }), runs());
			expect(docker("exec", name("web-1"), "cat", "/kept/it")).toBe("precious");
		},
		testMs,
	);

	// Asked for by its variable, as a PostgreSQL image is: no package of a distribution brings this program everywhere.
	(compose === "" ? () => undefined : test)(
		"`docker compose ls` and `ps` understand it, and `down` takes it away",
		async () => {
			await convergeStack(engine, shop(), runs());
			const asked = (...args: readonly string[]) => JSON.parse(spawnSync(compose, args, { encoding: "utf8" }).stdout);
			const listed = asked("ls", "--all", "--format", "json").find((it: { Name: string }) => it.Name === project);
			expect(listed).toMatchObject({
				Name: project,
				Status: "exited(1), running(2)",
				ConfigFiles: `/muster/stacks/${project}/compose.yaml`,
			});
			const services = spawnSync(compose, ["-p", project, "ps", "--all", "--format", "{{.Service}} {{.Name}}"], {
				encoding: "utf8",
			}).stdout;
			expect(services.trim().split("\n").sort()).toEqual(["db", "setup", "web"].map((it) => `${it} ${name(`${it}-1`)}`));
			expect(spawnSync(compose, ["-p", project, "down", "--volumes"], { encoding: "utf8" }).status).toBe(0);
			expect(ids()).toEqual({});
		},
		testMs,
	);

	/** Deploys until so many requests that change something were answered, and ends there as a process does that is killed. Returns how many were made. */
	async function deployUntilKilledAfter(limit: number, creates = { count: 0 }, model = shop()): Promise<number> {
		let changes = 0;
		const real = dockerTransport({ socketPath: "/var/run/docker.sock" });
		const killed = new Error("killed");
		const mortal: EngineTransport = {
			hijack: (request) => real.hijack(request),
			async request(request) {
				if (changes >= limit) throw killed;
				const answer = await real.request(request);
				if (request.method === "GET") return answer;
				changes++;
				if (request.path.endsWith("/containers/create") && answer.status < 400) creates.count++;
				if (changes >= limit) throw killed;
				return answer;
			},
		};
		await convergeStack(await openEngine(mortal), model, runs()).catch((error: unknown) => {
			if (error !== killed) throw error;
		});
		return changes;
	}
});
