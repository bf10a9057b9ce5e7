/** The install script on hosts of its own: what createHost's SHELL snippet says is pasted there, and the worker enrolls. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compressWorker } from "../../worker/build.ts";
import { asAdmin } from "../support/muster.ts";
import { workerBinary } from "../worker/support.ts";
import { canMakeHosts, hasBusybox, hasSystemd, HostRoot, type Said } from "./host-root.ts";
import { Fleet, testMs, until } from "./support.ts";

const sharedSecret = 'the cluster\'s "shared" $ecret `of` these \\tests\\';
const alice = { uid: 1_234, home: "/home/alice" };
const program = "/usr/local/bin/muster-worker";
const settings = "/etc/muster/worker.env";

describe.skipIf(!canMakeHosts)("the install script (needs root)", () => {
	const dist = mkdtempSync(join(tmpdir(), "muster-dist-"));
	let fleet: Fleet;
	beforeAll(async () => {
		copyFileSync(await workerBinary(), join(dist, "muster-worker"));
		await compressWorker(join(dist, "muster-worker"));
		fleet = await Fleet.start({ env: { MUSTER_SHARED_SECRET: sharedSecret, MUSTER_WORKER_DIST: dist } });
	}, testMs);
	afterAll(async () => {
		await fleet[Symbol.asyncDispose]();
		rmSync(dist, { recursive: true, force: true });
	}, testMs);

	async function createHost(): Promise<{ readonly id: string; readonly snippet: string }> {
		const query = "mutation ($input: CreateHostInput!) { createHost(input: $input, format: SHELL) { host { id } snippet } }";
		const name = `it's "$HOME" ${crypto.randomUUID().slice(0, 8)}`;
		const { createHost } = await asAdmin(fleet.server, query, { input: { name } });
		// The hosts share this machine's ports.
		const snippet = String(createHost.snippet).replace("export MUSTER_URL", "export MUSTER_METRICS_PORT=off\nexport MUSTER_URL");
		return { id: createHost.host.id, snippet };
	}
	const stateOf = async (id: string): Promise<string> =>
		(await asAdmin(fleet.server, "query ($id: ID) { host(id: $id) { state } }", { id })).host.state;
	const enrolled = (id: string) => until("MONITORING", async () => (await stateOf(id)) === "MONITORING");
	const script = (more = "", url = fleet.server.url) => `curl -fsSL '${url}/install.sh' | sudo sh ${more}`;
	const modeOf = (host: HostRoot, file: string) => (statSync(host.inside(file)).mode & 0o777).toString(8);
	/** Where what an installation may leave lies. */
	async function left(host: HostRoot): Promise<string> {
		const places = "/usr/local/bin /etc/muster /etc/systemd/system /etc/init.d /var/lib/muster /var/lib/private/muster /home/alice";
		return (await host.run(`find ${places} -iname '*muster*' -prune 2>/dev/null | sort; ls -A /etc/muster 2>/dev/null; true`)).stdout;
	}
	function ok(said: Said): Said {
		if (said.status !== 0) throw new Error(JSON.stringify(said));
		return said;
	}

	test.skipIf(!hasSystemd)(
		"H1: createHost's lines, pasted on a Debian, enroll it as a service of systemd (real) that is no user's and survives its death (needs systemd)",
		async () => {
			await using host = await HostRoot.start("systemd");
			const { id, snippet } = await createHost();

			const said = ok(await host.run(snippet));

			expect(said.stdout).toContain("The worker has enrolled and runs as the service muster-worker");
			expect(await stateOf(id)).toBe("MONITORING");
			expect(modeOf(host, settings)).toBe("600");
			expect(readFileSync(host.inside("/etc/systemd/system/muster-worker.service"), "utf8")).toContain("DynamicUser=yes");
			const show = async (what: string) => ok(await host.run(`systemctl show --value --property ${what} muster-worker`)).stdout.trim();
			const pid = await show("MainPID");
			const user = ok(await host.run(`grep -E '^(Uid|NoNewPrivs|CapEff):' /proc/${pid}/status | tr '\\t' ' '`)).stdout;
			expect(user).not.toContain("Uid: 0");
			expect(user).toContain("NoNewPrivs: 1");
			expect(user).toContain("CapEff: 0000000000000000");
			ok(await host.run(`kill -9 ${pid}`));
			await until("another process", async () => !["0", pid].includes(await show("MainPID")));
		},
		testMs,
	);

	test.skipIf(!hasSystemd)(
		"a second run upgrades and keeps the configuration; --uninstall keeps the state, so that the host comes back without a token; --purge does not (needs systemd)",
		async () => {
			await using host = await HostRoot.start("systemd");
			const { id, snippet } = await createHost();
			ok(await host.run(snippet));
			const before = readFileSync(host.inside(settings), "utf8");
			ok(await host.run(`printf old > ${program}`).then(() => host.run(`rm ${program}; printf old > ${program}`)));

			ok(await host.run(script()));

			expect(readFileSync(host.inside(settings), "utf8")).toBe(before);
			expect(statSync(host.inside(program)).size).toBe(statSync(await workerBinary()).size);
			await enrolled(id);
			const kept = ok(await host.run(script("-s -- --uninstall"))).stdout;
			expect(kept).toContain("its state stays in /var/lib/muster");
			expect((await host.run("systemctl is-active muster-worker")).stdout).toBe("inactive\n");
			expect(await left(host)).toBe("/var/lib/muster\n/var/lib/private/muster\n");
			const again = ok(await host.run(`{ echo "export MUSTER_METRICS_PORT=off"; curl -fsSL "${fleet.server.url}/install.sh"; } | sudo sh`));
			expect(again.stdout).toContain("The worker has enrolled");
			ok(await host.run(script("-s -- --uninstall --purge")));
			expect(await left(host)).toBe("");
		},
		testMs,
	);

	test.skipIf(!hasSystemd)(
		"a token that was used already: the script says what the worker says, and ends with an error (needs systemd)",
		async () => {
			const { snippet } = await createHost();
			await using first = await HostRoot.start("systemd");
			ok(await first.run(snippet));
			await using second = await HostRoot.start("systemd");
			const said = await second.run(snippet);
			expect(said.status).toBe(1);
			expect(said.stderr).toMatch(/^Cannot install the Muster worker: the service has ended: .*already_consumed/m);
		},
		testMs,
	);

	test(
		"without a service manager it starts nothing and says how to; what it says enrolls the host",
		async () => {
			await using host = await HostRoot.start("plain");
			const { id, snippet } = await createHost();
			const said = ok(await host.run(snippet));
			expect(said.stdout).toContain("Nothing starts it by itself here");
			expect(await stateOf(id)).toBe("PENDING");
			const line = said.stdout.trim().split("\n").at(-1);
			ok(await host.run(`${line} < /dev/null > /var/log/worker 2>&1 &`));
			await enrolled(id);
		},
		testMs,
	);

	test(
		"wget does where there is no curl",
		async () => {
			await using host = await HostRoot.start("plain");
			const { snippet } = await createHost();
			ok(await host.run(`rm /usr/bin/curl; command -v wget`));
			ok(await host.run(snippet.replace("curl -fsSL", "wget -qO-")));
			expect(statSync(host.inside(program)).size).toBe(statSync(await workerBinary()).size);
		},
		testMs,
	);

	test(
		"an ordinary user installs below his home, secrets for him alone, and removes it again",
		async () => {
			await using host = await HostRoot.start("plain");
			host.home("alice");
			ok(await host.run("chown 1234:1234 /home/alice && chmod 700 /home/alice"));
			const { id, snippet } = await createHost();
			const said = ok(await host.run(snippet.replace("} | sudo sh", "} | sh"), alice));
			expect(modeOf(host, "/home/alice/.config/muster/worker.env")).toBe("600");
			expect(existsSync(host.inside(program))).toBe(false);
			const line = said.stdout.trim().split("\n").at(-1);
			ok(await host.run(`${line} < /dev/null > ~/log 2>&1 &`, alice));
			await enrolled(id);
			const gone = ok(await host.run(`curl -fsSL '${fleet.server.url}/install.sh' | sh -s -- --uninstall --purge`, alice));
			expect(gone.stdout).toContain("and its state");
			expect(await left(host)).toBe("");
		},
		testMs,
	);

	test.skipIf(!hasBusybox)(
		"busybox: its shell and tools suffice, and OpenRC (a fake) starts the worker as the user muster (needs busybox and curl)",
		async () => {
			await using host = await HostRoot.start("busybox");
			const { id, snippet } = await createHost();
			const said = ok(await host.run(snippet));
			expect(said.stdout).toContain("The worker has enrolled and runs as the service muster-worker");
			expect(await stateOf(id)).toBe("MONITORING");
			const user = ok(await host.run("grep ^Uid: /proc/$(cat /run/muster-worker.pid)/status")).stdout;
			expect(user).not.toMatch(/^Uid:\s+0/);
			ok(await host.run(script("-s -- --uninstall --purge")));
			expect(await left(host)).toBe("");
		},
		testMs,
	);

	test(
		"a download that is not what the server says is refused, and nothing is left of it",
		async () => {
			await using host = await HostRoot.start("plain");
			await using between = changing(fleet.server.url);
			const { snippet } = await createHost();
			const said = await host.run(snippet.replaceAll(fleet.server.url, between.url));
			expect(said.status).toBe(1);
			expect(said.stderr).toMatch(/^Cannot install the Muster worker: the download's SHA-256 is [0-9a-f]{64}, not [0-9a-f]{64}/);
			expect(said.stderr.trim().split("\n")).toHaveLength(1);
			expect(await left(host)).toBe("");
		},
		testMs,
	);

	test.each([
		["nothing to enroll with", "there is nothing to enroll with, export MUSTER_ENROLL_TOKEN", "main"],
		["a flag it does not know", '"--unistall" is not known', "main --unistall"],
		["another processor", "there is no worker for the processor riscv64", "uname() { [ $1 = -s ] && echo Linux || echo riscv64; }\nmain"],
		["a worker that was not built", "npm run build:worker -- --all", "ldd() { echo musl; }\nexport MUSTER_ENROLL_TOKEN=x\nmain"],
		["a server that is away", "check the network", "export MUSTER_ENROLL_TOKEN=x MUSTER_URL=http://127.0.0.1:1\nmain"],
		["no tool to download with", "neither curl nor wget is installed", "has() { return 1; }\nexport MUSTER_ENROLL_TOKEN=x\nmain"],
		[
			"a state directory of one's own",
			"the service keeps its state in",
			"find_places() { config=/etc/muster/worker.env manager=openrc state=/var/lib/muster; }\nexport MUSTER_STATE_DIR=/x\nmain",
		],
	])(
		"says in one line what is wrong and what to do, and leaves nothing: %s",
		async (_what, words, before) => {
			await using host = await HostRoot.start("plain");
			host.write("/tmp/before", before);
			// Before the last line: what stands there hides what the script has by that name.
			const said = await host.run(`curl -fsSL '${fleet.server.url}/install.sh' | sed '$d' | cat - /tmp/before | sudo sh`);
			expect(said.stderr).toContain(words);
			expect(said.status).toBe(1);
			expect(said.stderr.trim().split("\n")).toHaveLength(1);
			expect(await left(host)).toBe("");
		},
		testMs,
	);

	test(
		"a script that arrives cut off does nothing, wherever the cut is",
		async () => {
			await using host = await HostRoot.start("plain");
			const whole = await (await fetch(`${fleet.server.url}/install.sh`)).text();
			for (let part = 1; part < 12; part++) {
				const length = Math.floor((whole.length * part) / 12);
				await host.run(`curl -fsSL '${fleet.server.url}/install.sh' | head -c ${length} | MUSTER_ENROLL_TOKEN=x sh 2>/dev/null`);
				expect(await left(host)).toBe("");
			}
		},
		testMs,
	);
});

/** Passes requests on and changes one byte of each worker. */
function changing(url: string) {
	const server = Bun.serve({
		hostname: "127.0.0.1",
		port: 0,
		async fetch(request) {
			const { pathname } = new URL(request.url);
			const reply = await fetch(`${url}${pathname}`);
			if (!pathname.startsWith("/download/") || pathname.endsWith(".sha256")) return new Response(reply.body);
			const bytes = await reply.bytes();
			bytes[bytes.length >> 1] = ~(bytes[bytes.length >> 1] ?? 0);
			return new Response(bytes);
		},
	});
	return { url: `http://127.0.0.1:${server.port}`, [Symbol.asyncDispose]: () => server.stop(true) };
}
