/** The worker's image, built from its Dockerfile on a base made here, and createHost's DOCKER snippet run with it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { asAdmin } from "../support/muster.ts";
import { root, workerBinary } from "../worker/support.ts";
import { Fleet, testMs, until } from "./support.ts";

const hasEngine = spawnSync("docker", ["info"], { stdio: "ignore" }).status === 0;
const run = crypto.randomUUID().slice(0, 8);
const base = `muster-test:base-${run}`;
const image = `muster-test:worker-${run}`;
const named = `muster-test-${run}`;

function docker(...args: readonly string[]): string {
	return execFileSync("docker", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

describe.skipIf(!hasEngine)("the worker's image (needs a Docker engine)", () => {
	const place = mkdtempSync(join(tmpdir(), "muster-image-"));
	let fleet: Fleet;
	beforeAll(async () => {
		importBase(join(place, "base"));
		mkdirSync(join(place, "context"));
		copyFileSync(await workerBinary(), join(place, "context", "muster-worker"));
		docker("build", "--tag", image, "--build-arg", `BASE=${base}`, "--file", join(root, "worker.Dockerfile"), join(place, "context"));
		fleet = await Fleet.start({ env: { MUSTER_SHARED_SECRET: "the \"shared\" $ecret of these 'tests', long enough" } });
	}, testMs);
	afterAll(async () => {
		spawnSync("docker", ["rm", "--force", named], { stdio: "ignore" });
		spawnSync("docker", ["volume", "rm", "--force", named], { stdio: "ignore" });
		spawnSync("docker", ["rmi", "--force", image, base], { stdio: "ignore" });
		await fleet[Symbol.asyncDispose]();
		rmSync(place, { recursive: true, force: true });
	}, testMs);

	/** The snippet's lines in a shell, with names of this test's own, and the network this machine has: nothing else is reachable here. */
	function paste(snippet: string): void {
		const lines = snippet
			.replace(
				"--detach --name muster-worker --restart unless-stopped",
				`--detach --name ${named} --network host --env MUSTER_METRICS_PORT=off`,
			)
			.replace("--volume muster-worker:", `--volume ${named}:`)
			.replace("muster-worker:latest", image);
		execFileSync("sh", ["-c", lines], { stdio: ["ignore", "ignore", "pipe"] });
	}
	const host = async (id: string) =>
		(await asAdmin(fleet.server, "query ($id: ID) { host(id: $id) { state worker { id online } } }", { id })).host;
	const attempts = async (): Promise<number> =>
		(await asAdmin(fleet.server, "{ enrollmentAttempts { totalCount } }")).enrollmentAttempts.totalCount;
	const isOnline = (id: string) => until("the worker online", async () => (await host(id)).worker?.online === true);
	async function leave(id: string): Promise<void> {
		docker("rm", "--force", named);
		await until("the worker offline", async () => (await host(id)).worker.online === false);
	}

	test(
		"H1 H14: createHost's DOCKER lines enroll the host; recreated with its volume it goes on without enrolling, without it it asks for a new token and ends 77; with one it is the same worker again",
		async () => {
			const { createHost } = await asAdmin(
				fleet.server,
				'mutation { createHost(input: { name: "it\'s a $HOST" }, format: DOCKER) { host { id } snippet } }',
			);
			const { id } = createHost.host;
			paste(createHost.snippet);
			await isOnline(id);
			const worker = (await host(id)).worker.id;
			const enrolledWith = await attempts();

			await leave(id);
			paste(createHost.snippet);
			await isOnline(id);
			expect((await host(id)).worker.id).toBe(worker);
			expect(await attempts()).toBe(enrolledWith);
			expect(spawnSync("docker", ["logs", named], { encoding: "utf8" }).stderr).not.toContain("worker.enroll");

			await leave(id);
			docker("volume", "rm", named);
			paste(createHost.snippet);
			expect(docker("wait", named).trim()).toBe("77");
			const { stderr } = spawnSync("docker", ["logs", named], { encoding: "utf8" });
			expect(stderr).toContain("already_consumed");
			expect(stderr).toContain("regenerateHostToken");

			docker("rm", "--force", named);
			const query = "mutation ($id: ID!) { regenerateHostToken(id: $id, format: DOCKER) { snippet } }";
			paste((await asAdmin(fleet.server, query, { id })).regenerateHostToken.snippet);
			await isOnline(id);
			expect((await host(id)).worker.id).toBe(worker);
		},
		testMs,
	);

	test("the image holds the worker alone, runs it as nobody, and keeps its state private", () => {
		const [{ Config }] = JSON.parse(docker("inspect", image));
		expect(Config).toMatchObject({ User: "10001:10001", Volumes: { "/var/lib/muster": {} }, Cmd: ["run"] });
		expect(docker("run", "--rm", image, "version").trim()).toMatch(/^\d+\.\d+\.\d+$/);
		const listed = docker("run", "--rm", "--entrypoint", "/bin/sh", image, "-c", "ls -ldn /var/lib/muster").split(/\s+/);
		expect([listed[0], listed[2], listed[3]]).toEqual(["drwx------", "10001", "10001"]);
	});
});

/** A base image with no registry: busybox, and the C library's files as this machine has them. */
function importBase(place: string): void {
	mkdirSync(join(place, "bin"), { recursive: true });
	mkdirSync(join(place, "tmp"));
	const busybox = execFileSync("sh", ["-c", "command -v busybox"], { encoding: "utf8" }).trim();
	copyFileSync(busybox, join(place, "bin", "busybox"));
	for (const tool of ["sh", "mkdir", "chown", "chmod", "ls"]) symlinkSync("busybox", join(place, "bin", tool));
	const linked = execFileSync("sh", ["-c", "ldd /bin/sleep; ls /lib/*/libpthread.so.0 /lib/*/libdl.so.2 /lib/*/libm.so.6"], {
		encoding: "utf8",
	});
	for (const library of new Set(linked.match(/\/\S+/g))) {
		mkdirSync(join(place, dirname(library)), { recursive: true });
		copyFileSync(library, join(place, library));
	}
	execFileSync("sh", ["-c", 'tar -C "$1" -c . | docker import --change "ENV PATH=/bin" - "$2"', "sh", place, base], { stdio: "pipe" });
}
