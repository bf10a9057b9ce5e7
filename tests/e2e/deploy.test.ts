/** H15: deploy-worker over a real sshd, against a real server, with the compiled worker. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { execFileSync, spawnSync } from "node:child_process";
import {
	appendFileSync,
	chmodSync,
	copyFileSync,
	existsSync,
	mkdirSync,
	mkdtempSync,
	readdirSync,
	rmSync,
	symlinkSync,
	writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileSha256 } from "../../worker/build.ts";
import { asAdmin } from "../support/muster.ts";
import { Machine, workerBinary } from "../worker/support.ts";
import { badWorker, DeployHost, silentWorker, sshd } from "./deploy-host.ts";
import { Fleet, keptId, testMs, until } from "./support.ts";

const deployable = existsSync(sshd) && existsSync("/usr/bin/ssh") && process.getuid?.() === 0;
const docker = deployable && spawnSync("docker", ["info"], { stdio: "ignore" }).status === 0;

let fleet: Fleet;
let room: string;
/** The worker as it was built, and the same with a byte more: one that runs, yet is another. */
let built: string;
let older: string;
beforeAll(async () => {
	if (!deployable) return;
	fleet = await Fleet.start();
	room = mkdtempSync(join(tmpdir(), "muster-deploy-test-"));
	built = await workerBinary();
	older = join(room, "older");
	copyFileSync(built, older);
	appendFileSync(older, "\n");
	writeFileSync(join(room, "token"), `${fleet.server.adminToken}\n`);
}, testMs);
afterAll(async () => {
	if (!deployable) return;
	await fleet[Symbol.asyncDispose]();
	rmSync(room, { recursive: true, force: true });
}, testMs);

/** The flags that make it wait for the server's word. */
const heard = (seconds = 60) => ["--url", fleet.server.url, "--token-file", join(room, "token"), "--timeout", String(seconds)];

async function workerAt(site: string) {
	const { workers } = await asAdmin(
		fleet.server,
		"query ($siteCode: String) { workers(siteCode: $siteCode) { nodes { id online vitals { at bootId } } } }",
		{ siteCode: site },
	);
	expect(workers.nodes.length).toBeLessThanOrEqual(1);
	return workers.nodes[0] as
		| { readonly id: string; readonly online: boolean; readonly vitals: { readonly bootId: string } | null }
		| undefined;
}

/** A site of its own, and what a worker needs to enroll there. */
async function newSite(): Promise<{ readonly site: string; readonly env: Readonly<Record<string, string>> }> {
	const site = `site-${crypto.randomUUID().slice(0, 8)}`;
	return { site, env: { ...fleet.settings(site, await fleet.site(site)), MUSTER_METRICS_PORT: "off", MUSTER_LOG_FORMAT: "json" } };
}

/** Checks how a deployment ended and what it said; shows all it said when not. */
function told({ code, said }: { readonly code: number; readonly said: string }, wanted: number, words: string): void {
	expect(`${said}\nexit ${code}`).toContain(words);
	expect(`${said}\nexit ${code}`).toEndWith(`exit ${wanted}`);
}

const bootOf = (site: string) => until("a heartbeat", async () => (await workerAt(site))?.vitals?.bootId);

test.skipIf(!deployable)(
	"H15: a worker that systemd runs is replaced and heard anew; a dry run only tells; one that is cut short or broken leaves the former (needs sshd, root)",
	async () => {
		await using host = await DeployHost.start();
		using machine = new Machine();
		const { site, env } = await newSite();
		host.install(older, { ...env, MUSTER_STATE_DIR: machine.stateDir, MUSTER_MACHINE_ID_FILE: machine.machineIdFile });
		const first = await bootOf(site);
		const [formerSum, builtSum] = [await fileSha256(older), await fileSha256(built)];

		const dry = await host.deploy(...heard(), "--dry-run");
		told(dry, 0, "would replace it and restart the unit");
		expect(await fileSha256(host.binary)).toBe(formerSum);

		const done = await host.deploy(...heard());
		told(done, 0, "The server hears it");
		expect(done.said).toContain("Deployed muster-worker");
		expect(await fileSha256(host.binary)).toBe(builtSum);
		expect(await fileSha256(`${host.binary}.previous`)).toBe(formerSum);
		const second = await bootOf(site);
		expect(second).not.toBe(first);
		expect((await workerAt(site))?.id).toBe(keptId(machine));
		expect(await fleet.attempts(site)).toBe(1);

		// One that does not run at all is found out before anything that runs is touched.
		const pid = host.pid;
		writeFileSync(join(room, "no-worker"), "#!/bin/sh\nexit 1\n");
		const refused = await host.deploy(...heard(), "--from", join(room, "no-worker"));
		told(refused, 70, "it does not run on this host");
		expect(host.pid).toBe(pid);

		// One that ends when it is to run is found out after the swap, and the former put back.
		const back = await host.deploy(...heard(), "--from", badWorker(room));
		told(back, 1, "Rolled back: the former worker runs again");
		expect(back.said).toContain("its last words: this one never runs");

		// So is one that the server does not hear in time, and one that the operator does not wait for.
		const silent = ["--from", silentWorker(room)];
		const late = await host.deploy(...heard(6), ...silent);
		told(late, 1, "Rolled back: the former worker runs again");
		expect(late.said).toContain("did not come up: nothing was heard from it within 6 s");
		const stopped = await host.deployUntil("Waiting for its heartbeat", ...heard(), ...silent);
		told(stopped, 1, "Rolled back: the former worker runs again");
		expect(stopped.said).toContain("did not come up: interrupted");
		const early = await host.deployUntil("Copying", ...heard(), ...silent);
		told(early, 130, "Interrupted: nothing was changed");
		expect(await fileSha256(host.binary)).toBe(builtSum);
		expect(await bootOf(site)).not.toBe(second);
		expect(await fleet.attempts(site)).toBe(1);
		expect(readdirSync(dirname(host.binary))).toEqual(["muster-worker"]);

		const stranger = await host.deploy("--url", fleet.server.url, "--token-file", join(room, "token"), "--worker", "nobody");
		told(stranger, 78, "knows no worker nobody");
	},
	testMs,
);

test.skipIf(!deployable)(
	"H15: a host without a worker, and a host that does not let us in, are told apart (needs sshd, root)",
	async () => {
		await using host = await DeployHost.start();
		const nothing = await host.deploy();
		told(nothing, 78, `neither systemd nor Docker runs "${host.name}"`);
		writeFileSync(join(host.dir, "authorized_keys"), "");
		told(await host.deploy(), 69, "Permission denied");
		writeFileSync(join(host.dir, "known_hosts"), "");
		told(await host.deploy(), 69, "Host key verification failed");
	},
	testMs,
);

/** An image with the worker and what it loads, as the worker's Dockerfile makes one, but from this machine's own files. */
function importImage(reference: string, binary: string): void {
	const tree = mkdtempSync(join(room, "image-"));
	const put = (from: string, to: string) => {
		mkdirSync(join(tree, dirname(to)), { recursive: true });
		copyFileSync(from, join(tree, to));
		chmodSync(join(tree, to), 0o755);
	};
	put(binary, "usr/local/bin/muster-worker");
	put(execFileSync("sh", ["-c", "command -v busybox"], { encoding: "utf8" }).trim(), "bin/sh");
	for (const tool of ["echo", "cat"]) symlinkSync("sh", join(tree, "bin", tool));
	for (const [library] of execFileSync("ldd", [binary], { encoding: "utf8" }).matchAll(/\/[^ )]+/g)) put(library, library);
	mkdirSync(join(tree, "tmp"));
	mkdirSync(join(tree, "var/lib/muster"), { recursive: true });
	chmodSync(join(tree, "var/lib/muster"), 0o700);
	const changes = ['ENTRYPOINT ["/usr/local/bin/muster-worker"]', 'CMD ["run"]', "VOLUME /var/lib/muster"].flatMap((line) => [
		"--change",
		line,
	]);
	execFileSync("sh", ["-c", 'tar -C "$0" -c . | docker import "$@" > /dev/null', tree, ...changes, "-", reference]);
	rmSync(tree, { recursive: true, force: true });
}

const inspect = (kind: string, name: string) => JSON.parse(execFileSync("docker", [kind, "inspect", name], { encoding: "utf8" }))[0];

describe.skipIf(!docker)("H15: a worker that Docker runs (needs sshd, root and docker)", () => {
	let host: DeployHost;
	let image: string;
	let site: string;
	beforeAll(async () => {
		host = await DeployHost.start();
		image = `${host.name}:latest`;
		importImage(image, older);
		const made = await newSite();
		site = made.site;
		const odd = { ...made.env, ODD: `it's "odd" $HOME \\ \n and long` };
		const flags = Object.entries(odd).flatMap(([key, value]) => ["--env", `${key}=${value}`]);
		// Without a named volume: the unnamed one, which holds the identity, has to go along.
		const run = [
			"run",
			"--detach",
			"--name",
			host.name,
			"--restart",
			"unless-stopped",
			"--network",
			"host",
			"--memory",
			"512m",
			"--label",
			"a=b c",
		];
		execFileSync("docker", [...run, ...flags, image], { stdio: "ignore" });
		await bootOf(site).catch((error: unknown) => {
			throw new Error(`${String(error)}\n${spawnSync("docker", ["logs", host.name], { encoding: "utf8" }).stderr}`);
		});
	}, testMs);
	afterAll(async () => {
		// The new container names the volume, so it does not go with it.
		const { volume } = kept();
		spawnSync("docker", ["rm", "--force", "--volumes", host.name], { stdio: "ignore" });
		spawnSync("docker", ["volume", "rm", volume], { stdio: "ignore" });
		for (const tag of [image, `${host.name}:previous`]) spawnSync("docker", ["rmi", "--force", tag], { stdio: "ignore" });
		await host[Symbol.asyncDispose]();
	}, testMs);

	/** What must be the same before and after. */
	const kept = () => {
		const { Name, Config, HostConfig, Mounts } = inspect("container", host.name);
		const volume = Mounts.find(({ Destination }: { Destination: string }) => Destination === "/var/lib/muster").Name;
		const { Env, Labels, Entrypoint, Cmd, Image } = Config;
		const { RestartPolicy, NetworkMode, Memory } = HostConfig;
		return { Name, volume, Env, Labels, Entrypoint, Cmd, Image, RestartPolicy, NetworkMode, Memory };
	};

	test(
		"gets a new image and a new container of the same configuration, and goes on as who it was",
		async () => {
			const before = kept();
			const [former, firstBoot] = [inspect("container", host.name).Id, await bootOf(site)];
			const done = await host.deploy(...heard());
			told(done, 0, "The server hears it");
			expect(kept()).toMatchObject({ ...before, Labels: { a: "b c" } });
			expect(inspect("container", host.name).Id).not.toBe(former);
			expect(await bootOf(site)).not.toBe(firstBoot);
			expect(await fleet.attempts(site)).toBe(1);
			// The image holds the binary and nothing of the container's environment.
			expect(JSON.stringify(inspect("image", image).Config)).not.toContain("MUSTER_ENROLL_TOKEN");
			expect(execFileSync("docker", ["exec", host.name, "sh", "-c", "ls / > /dev/null; echo up"], { encoding: "utf8" })).toBe("up\n");
			const names = execFileSync("docker", ["ps", "--all", "--format", "{{.Names}}"], { encoding: "utf8" }).split("\n");
			expect(names.filter((name) => name.startsWith(host.name))).toEqual([host.name]);
			const firstNew = inspect("image", image).Id;
			// The next one takes the place of this one's layer and does not lie upon it.
			const layers = inspect("image", image).RootFS.Layers;
			told(await host.deploy(...heard(), "--from", older), 0, "The server hears it");
			expect(inspect("image", image).RootFS.Layers).toEqual([layers[0], expect.any(String)]);
			expect(kept()).toMatchObject(before);
			expect(inspect("image", `${host.name}:previous`).Id).toBe(firstNew);
			// Of all those that were, one is kept.
			told(await host.deploy(...heard()), 0, "The server hears it");
			expect(spawnSync("docker", ["image", "inspect", firstNew]).status).not.toBe(0);
			expect(inspect("image", `${host.name}:previous`).Id).not.toBe(inspect("image", image).Id);
		},
		testMs,
	);

	test(
		"gets its former container back when the new one ends at once",
		async () => {
			const images = () => ["latest", "previous"].map((name) => inspect("image", `${host.name}:${name}`).Id);
			const [before, former, named] = [kept(), inspect("container", host.name).Id, images()];
			const back = await host.deploy(...heard(), "--from", badWorker(room));
			told(back, 1, "Rolled back: the former worker runs again");
			expect(back.said).toContain("its last words: this one never runs");
			expect(kept()).toEqual(before);
			expect(inspect("container", host.name)).toMatchObject({ Id: former, State: { Running: true } });
			expect(images()).toEqual(named);
			expect(await fleet.attempts(site)).toBe(1);
		},
		testMs,
	);

	test(
		"and systemd too: it refuses with both names and the flag, and goes on when told which",
		async () => {
			using machine = new Machine();
			const { site: other, env } = await newSite();
			host.install(older, { ...env, MUSTER_STATE_DIR: machine.stateDir, MUSTER_MACHINE_ID_FILE: machine.machineIdFile });
			await bootOf(other);
			const pid = host.pid;
			const refused = await host.deploy(...heard());
			told(refused, 78, "both a systemd unit and a Docker container");
			expect(refused.said).toContain("--mode systemd or --mode docker-image");
			expect(host.pid).toBe(pid);
			expect((await host.deploy(...heard(), "--mode", "systemd", "--dry-run")).said).toContain(`systemd runs ${host.binary}`);
			expect((await host.deploy(...heard(), "--mode", "docker-image", "--dry-run")).said).toContain(
				"Docker runs /usr/local/bin/muster-worker",
			);
			host.systemctl("stop");
		},
		testMs,
	);
});
