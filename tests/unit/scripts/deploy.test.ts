import { describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { type ContainerView, imageNames, recreation } from "../../../scripts/deploy/container.ts";
import { type Container, type Decision, decide, type Found, targetOf, type Unit } from "../../../scripts/deploy/decide.ts";
import { modes, parseOptions } from "../../../scripts/deploy/options.ts";
import { answersOf, unitOf } from "../../../scripts/deploy/probe.ts";
import { remoteCommand } from "../../../scripts/deploy/ssh.ts";
import { hasStartedAnew, type WorkerView } from "../../../scripts/deploy/watch.ts";
import { shellQuoted } from "../../../src/hosts/snippet.ts";

const name = "muster-worker";
const on: Unit = { on: true, program: "/usr/local/bin/muster-worker" };
const off: Unit = { ...on, on: false };
const container: Container = { machine: "amd64", musl: true, program: "/muster-worker", removedOnStop: false };
const denied = "permission denied while trying to connect to the Docker daemon socket";

function host(changes: Partial<Found> = {}): Found {
	const platform = { system: "Linux", machine: "x86_64", musl: false };
	return { platform, rights: "root", unit: undefined, container: undefined, former: false, ...changes };
}

/** A decision as one line: what is deployed how, or the exit code and the words that matter. */
function told(decision: Decision): string {
	if (decision.kind === "refuse") return `${decision.code} ${decision.why}`;
	const { mode, target, binary, sudo } = decision;
	return `${mode} ${target} ${binary}${sudo ? " sudo" : ""}`;
}

describe("H15: what runs the worker decides what is restarted; both found and no mode: refused", () => {
	const unitLine = "systemd linux-x64 /usr/local/bin/muster-worker";
	const containerLine = "docker-image linux-x64-musl /muster-worker";
	const both = /^78 both a systemd unit and a Docker container .*--mode systemd or --mode docker-image$/;
	const neither = /^78 neither systemd nor Docker runs .*install\.sh/;
	const notAllowed = /^77 this user may not replace .*sudo -n is not allowed/;
	const cannotAsk = /^77 Docker cannot be asked .*permission denied/;
	// unit, container, what is said without a mode, with --mode systemd, with --mode docker-image
	const table: readonly (readonly [Found["unit"], Found["container"], ...(string | RegExp)[]])[] = [
		[undefined, undefined, neither, /^78 no systemd unit/, /^78 no Docker container/],
		[undefined, container, containerLine, /^78 no systemd unit/, containerLine],
		[undefined, denied, cannotAsk, /^78 no systemd unit/, /^77 Docker cannot be used/],
		[off, undefined, /^78 neither .*neither enabled nor active/, unitLine, /^78 no Docker container/],
		[off, container, containerLine, unitLine, containerLine],
		[off, denied, cannotAsk, unitLine, /^77 Docker cannot be used/],
		[on, undefined, unitLine, unitLine, /^78 no Docker container/],
		[on, container, both, unitLine, containerLine],
		[on, denied, /^77 Docker cannot be asked .*--mode systemd/, unitLine, /^77 Docker cannot be used/],
	];
	test.each(table)("unit %j, container %j", (unit, found, ...expected) => {
		for (const [index, mode] of [undefined, ...modes].entries()) {
			const want = expected[index] ?? "";
			const line = told(decide(host({ unit, container: found }), { mode, name, binary: undefined }));
			if (typeof want === "string") expect(line).toBe(want);
			else expect(line).toMatch(want);
		}
	});

	test("a user without root's rights may not touch a unit, but a container that Docker lets it have; sudo is said", () => {
		const ask = (changes: Partial<Found>) => told(decide(host(changes), { mode: undefined, name, binary: undefined }));
		expect(ask({ unit: on, rights: "user" })).toMatch(notAllowed);
		expect(ask({ unit: on, rights: "sudo" })).toBe(`${unitLine} sudo`);
		expect(ask({ container, rights: "user" })).toBe(containerLine);
	});

	test("the binary is where the unit or the container says; another one would never be started", () => {
		const ask = (changes: Partial<Found>, binary?: string) => told(decide(host(changes), { mode: undefined, name, binary }));
		expect(ask({ unit: { on: true, program: "/opt/x/muster-worker" } })).toBe("systemd linux-x64 /opt/x/muster-worker");
		// Above all it is never docker itself that is replaced, where a unit starts a container.
		for (const program of ["/usr/bin/docker", "/bin/sh"]) {
			expect(ask({ unit: { on: true, program } })).toMatch(/^78 the unit starts .*, which is no muster-worker: .*--binary/);
			expect(ask({ unit: { on: true, program } }, "/opt/y")).toBe("systemd linux-x64 /opt/y");
		}
		expect(ask({ unit: { on: true, program: undefined } })).toBe(unitLine);
		expect(ask({ unit: { on: true, program: undefined } }, "/opt/y")).toBe("systemd linux-x64 /opt/y");
		expect(ask({ unit: on }, "/opt/y")).toMatch(/^78 the unit starts \/usr\/local\/bin\/muster-worker, not \/opt\/y/);
		expect(ask({ container: { ...container, program: "/sbin/tini" } })).toBe("docker-image linux-x64-musl /usr/local/bin/muster-worker");
		expect(ask({ container: { ...container, program: "/sbin/tini" } }, "/w")).toBe("docker-image linux-x64-musl /w");
	});

	test("what could not be put back is refused: --rm, and the traces of a deployment that was cut off", () => {
		const ask = (changes: Partial<Found>) => told(decide(host(changes), { mode: undefined, name, binary: undefined }));
		expect(ask({ container: { ...container, removedOnStop: true } })).toMatch(/^78 .*--rm/);
		expect(ask({ former: true })).toMatch(/^78 a deployment was interrupted here: "docker rename muster-worker-previous muster-worker"/);
		expect(ask({ container, former: true })).toMatch(/^78 a container "muster-worker-previous"/);
		expect(ask({ unit: on, former: true })).toBe(unitLine);
	});

	test("a platform without a worker is refused", () => {
		const platform = { system: "Linux", machine: "riscv64", musl: false };
		expect(told(decide(host({ platform, unit: on }), { mode: undefined, name, binary: undefined }))).toMatch(
			/^78 there is no worker for Linux on riscv64/,
		);
	});
});

test.each([
	["Linux", "x86_64", false, "linux-x64"],
	["Linux", "amd64", true, "linux-x64-musl"],
	["Linux", "aarch64", false, "linux-arm64"],
	["Linux", "arm64", true, "linux-arm64-musl"],
	["Darwin", "arm64", false, "darwin-arm64"],
	["Darwin", "x86_64", false, undefined],
	["Linux", "armv7l", false, undefined],
	["FreeBSD", "amd64", false, undefined],
] as const)("%s on %s, musl %p: %p", (system, machine, musl, target) => {
	expect(targetOf({ system, machine, musl })).toBe(target as ReturnType<typeof targetOf>);
});

test("what systemctl says of a unit: missing, lying there, on; and what it starts, with blanks and braces in its path", () => {
	const of = (enabled: string, active: string, starts = "") => unitOf(new Map(Object.entries({ enabled, active, starts })));
	expect(of("", "inactive")).toBeUndefined();
	expect(of("not-found", "inactive")).toBeUndefined();
	expect(unitOf(new Map())).toBeUndefined();
	expect(of("disabled", "inactive")).toEqual({ on: false, program: undefined });
	for (const [enabled, active] of [
		["enabled", "inactive"],
		["disabled", "active"],
		["enabled", "failed"],
		["static", "activating"],
	] as const) {
		expect(of(enabled, active)?.on).toBe(true);
	}
	const starts = "ExecStart={ path=/opt/my } dir/muster-worker ; argv[]=/opt/my } dir/muster-worker run ; ignore_errors=no }";
	expect(of("enabled", "active", starts)?.program).toBe("/opt/my } dir/muster-worker");
});

test("a host's greetings do not get between its answers", () => {
	expect([...answersOf("Welcome to muster:nothing=1\r\nmuster:uid=0\r\nmuster:empty=\nlast login: never")]).toEqual([
		["uid", "0"],
		["empty", ""],
	]);
});

test("a script arrives in the remote shell as it was written, whatever it holds", () => {
	const special = fc.string({
		unit: fc.constantFrom(...("'\"$`\\ {}()[]<>|&;*?~#!%=:,-@^\n\t0189é\u{1F916}".match(/./gsu) ?? [])),
		maxLength: 40,
	});
	fc.assert(
		fc.property(special, (text) => {
			// As sshd does it: the login shell gets the whole line.
			const line = remoteCommand(`printf '%s.' ${shellQuoted(text)}`);
			expect(line).not.toMatch(/[\n!]/);
			for (const shell of ["sh", "bash"]) expect(execFileSync(shell, ["-c", line], { encoding: "utf8" })).toBe(`${text}.`);
		}),
		{ numRuns: 60 },
	);
});

test("a script that is to run as root goes through sudo, which must not ask", () => {
	const dir = mkdtempSync(join(tmpdir(), "muster-sudo-"));
	try {
		writeFileSync(join(dir, "sudo"), '#!/bin/sh\n[ "$1" = -n ] || exit 1\nshift\nAS=root exec "$@"\n', { mode: 0o755 });
		const env = { PATH: `${dir}:/usr/bin:/bin` };
		const script = `printf %s "$AS it's"`;
		expect(execFileSync("sh", ["-c", remoteCommand(script, true)], { env, encoding: "utf8" })).toBe("root it's");
		expect(execFileSync("sh", ["-c", remoteCommand(script)], { env, encoding: "utf8" })).toBe(" it's");
	} finally {
		rmSync(dir, { recursive: true });
	}
});

describe("the command line", () => {
	const problems = (...args: readonly string[]) => {
		const parsed = parseOptions(args);
		return parsed.kind === "problems" ? parsed.problems : [];
	};
	test("everything that is given is understood, in both spellings", () => {
		const line = "--host h --user=u --port 2222 --mode docker-image --url http://s:1/graphql --token t --timeout 5 --dry-run";
		const parsed = parseOptions(line.split(" "));
		expect(parsed).toMatchObject({
			kind: "options",
			options: { host: "h", user: "u", port: 2222, mode: "docker-image", url: "http://s:1", token: "t", timeoutSeconds: 5, dryRun: true },
		});
		expect(parseOptions(["--host", "h"])).toMatchObject({ options: { timeoutSeconds: 120, mode: undefined, dryRun: false } });
		expect(parseOptions(["--hep", "--help"]).kind).toBe("help");
	});
	test("every problem is told, and all at once", () => {
		expect(problems()).toEqual(["No host is given: use --host H"]);
		expect(
			problems(
				"--host",
				"u@h",
				"--port",
				"0",
				"--mode",
				"openrc",
				"--binary",
				"x",
				"--url",
				"ftp://x",
				"--timeout",
				"1.5",
				"--name",
				"a b",
			),
		).toHaveLength(8);
		expect(problems("--host", "h", "--host", "i")).toEqual(["Cannot use --host twice: give it once"]);
		expect(problems("--host", "h", "--token", "t")).toEqual(["Cannot use a token without --url: give the server's URL"]);
		expect(problems("--host", "h", "--url", "http://s")).toEqual(["Cannot use --url without a token: give --token or --token-file"]);
		expect(problems("--host", "h", "--user", "--port", "1")).toEqual(["Cannot use --user without a value: give one"]);
		expect(problems("--host", "h", "x")).toEqual(['Unknown argument "x": see npm run deploy-worker -- --help']);
	});
});

test("a heartbeat of another start than before is the restarted worker's; none, or the former's, is not", () => {
	const view = (bootId: string | null): WorkerView => ({
		id: "w",
		name: "n",
		online: true,
		version: null,
		vitals: { at: "2026-01-01T00:00:00Z", bootId },
	});
	expect(hasStartedAnew(view("a"), view("b"))).toBe(true);
	expect(hasStartedAnew({ ...view("a"), vitals: null }, view("b"))).toBe(true);
	expect(hasStartedAnew(view("a"), view("a"))).toBe(false);
	expect(hasStartedAnew(view("a"), { ...view("b"), vitals: null })).toBe(false);
	expect(hasStartedAnew(view("a"), view(null))).toBe(false);
});

test("a new container has the former's volumes, the unnamed ones too, its networks and all its configuration but Docker's own names", () => {
	const id = "0123456789ab".repeat(5);
	const view: ContainerView = {
		Id: id,
		Path: "/muster-worker",
		Image: "sha256:old",
		Config: {
			Image: "muster-worker:latest",
			Hostname: id.slice(0, 12),
			Env: ["A=b c"],
			Labels: { a: "b" },
			Volumes: { "/var/lib/muster": {} },
		},
		HostConfig: {
			Binds: ["/etc/x:/x:ro"],
			NetworkMode: "backbone",
			RestartPolicy: { Name: "always" },
			Mounts: [{ Target: "/m", Type: "volume" }],
		},
		Mounts: [
			{ Type: "bind", Destination: "/x", RW: false },
			{ Type: "volume", Name: "cafe", Destination: "/var/lib/muster", RW: true },
			{ Type: "volume", Name: "named", Destination: "/m", RW: true },
		],
		NetworkSettings: {
			Networks: {
				backbone: { Aliases: ["w", id.slice(0, 12)], IPAMConfig: { IPv4Address: "10.9.0.4" }, IPAddress: "10.9.0.4", MacAddress: "02:42" },
				side: { Aliases: ["s"], IPAMConfig: null },
			},
		},
	};
	expect(recreation(view, "muster-worker:latest")).toEqual({
		body: {
			Image: "muster-worker:latest",
			Env: ["A=b c"],
			Labels: { a: "b" },
			Volumes: { "/var/lib/muster": {} },
			HostConfig: { ...view.HostConfig, Binds: ["/etc/x:/x:ro", "cafe:/var/lib/muster"] },
			NetworkingConfig: {
				EndpointsConfig: { backbone: { IPAMConfig: { IPv4Address: "10.9.0.4" }, Links: null, DriverOpts: null, Aliases: ["w"] } },
			},
		},
		networks: [["--alias", "s", "side"]],
	});
	const named = { ...view, Config: { ...view.Config, Hostname: "edge-7" }, HostConfig: { NetworkMode: "host" } };
	expect(recreation(named, "x").body).toMatchObject({ Hostname: "edge-7", NetworkingConfig: { EndpointsConfig: {} } });
});

test.each([
	["muster-worker:latest", "muster-worker:previous"],
	["registry:5000/team/muster-worker", "registry:5000/team/muster-worker:previous"],
	[`muster-worker@sha256:${"a".repeat(64)}`, undefined],
	[`sha256:${"a".repeat(64)}`, undefined],
	["0123456789ab", undefined],
])("the former image of %s is kept as %p", (reference, previous) => {
	expect(imageNames(reference)?.previous).toBe(previous as string);
});
