/** What to do with a host, given what was found there. Pure: no I/O, no imports but types, names and codes. */
import { exitCodes } from "../../src/protocol/codes.ts";
import type { Target } from "../../src/protocol/targets.ts";
import type { Mode, Options } from "./options.ts";

/** What a container is called while a new one takes its place. */
export function formerName(name: string): string {
	return `${name}-previous`;
}
/** Where install.sh and the worker's Dockerfile put the binary. */
export const usualBinary = "/usr/local/bin/muster-worker";

/** A system as `uname` names it. */
export interface Platform {
	readonly system: string;
	readonly machine: string;
	readonly musl: boolean;
}

/** A unit: `on` when it is active or enabled, else it only lies there. `program` is what it starts; undefined when that cannot be read. */
export interface Unit {
	readonly on: boolean;
	readonly program: string | undefined;
}

/** A container: `program` is what it starts, `removedOnStop` what `docker run --rm` asks for. */
export interface Container {
	readonly machine: string;
	readonly musl: boolean;
	readonly program: string;
	readonly removedOnStop: boolean;
}

/** A host as it was found. */
export interface Found {
	readonly platform: Platform;
	/** `sudo`: not root, but root's rights are to be had without a password. */
	readonly rights: "root" | "sudo" | "user";
	readonly unit: Unit | undefined;
	/** A text: Docker is there, but does not answer this user, and why. */
	readonly container: Container | string | undefined;
	/** A container that a deployment was interrupted over. */
	readonly former: boolean;
}

/** What is done, or why nothing is. */
export type Decision =
	| { readonly kind: "deploy"; readonly mode: Mode; readonly target: Target; readonly binary: string; readonly sudo: boolean }
	| { readonly kind: "refuse"; readonly code: number; readonly why: string };

/** What the operator asked for. */
export type Asked = Pick<Options, "mode" | "name" | "binary">;

/** Decides. */
export function decide(found: Found, asked: Asked): Decision {
	const mode = asked.mode ?? modeOf(found, asked.name);
	if (typeof mode !== "string") return mode;
	return mode === "systemd" ? overUnit(found, asked) : overContainer(found, asked);
}

function modeOf({ unit, container, former }: Found, name: string): Mode | Decision {
	const unitIsOn = unit?.on === true;
	if (unitIsOn && typeof container === "object") {
		const both = `both a systemd unit and a Docker container "${name}" are on this host`;
		return refuse(exitCodes.config, `${both}: say which with --mode systemd or --mode docker-image`);
	}
	if (typeof container === "string") {
		const rest = unitIsOn ? ", or say --mode systemd, since its unit was found" : "";
		return refuse(exitCodes.noPermission, `Docker cannot be asked whether it runs the worker (${container}): log in as one who may${rest}`);
	}
	if (unitIsOn) return "systemd";
	if (container !== undefined) return "docker-image";
	if (former) return leftover(name);
	const rest =
		unit === undefined
			? ""
			: `; its unit is there, but neither enabled nor active: "systemctl enable --now ${name}" there, or --mode systemd`;
	return refuse(
		exitCodes.config,
		`neither systemd nor Docker runs "${name}" on this host: install it first, with the server's /install.sh or a snippet of createHost${rest}`,
	);
}

function overUnit({ unit, rights, platform }: Found, { name, binary: asked }: Asked): Decision {
	if (unit === undefined) {
		return refuse(exitCodes.config, `no systemd unit "${name}" is on this host: install it first, with the server's /install.sh`);
	}
	if (rights === "user") {
		const remedy = "log in as root, or allow this user sudo without a password";
		return refuse(exitCodes.noPermission, `this user may not replace the binary and restart the unit (sudo -n is not allowed): ${remedy}`);
	}
	const binary = asked ?? unit.program ?? usualBinary;
	const isWorker = unit.program?.endsWith("/muster-worker") === true;
	if (asked === undefined && unit.program !== undefined && !isWorker) {
		// A unit that starts docker or a shell: replacing that would be the end of the host.
		return refuse(
			exitCodes.config,
			`the unit starts ${unit.program}, which is no muster-worker: say with --binary which file is to be replaced`,
		);
	}
	if (isWorker && binary !== unit.program) {
		return refuse(exitCodes.config, `the unit starts ${unit.program}, not ${binary}: leave --binary away, or change the unit`);
	}
	return go("systemd", platform, binary, rights);
}

function overContainer({ container, rights, former, platform }: Found, { name, binary: asked }: Asked): Decision {
	if (typeof container === "string") return refuse(exitCodes.noPermission, `Docker cannot be used (${container}): log in as one who may`);
	if (container === undefined) {
		if (former) return leftover(name);
		return refuse(exitCodes.config, `no Docker container "${name}" is on this host: start one first, with a snippet of createHost`);
	}
	if (former) {
		const remedy = `see that "${name}" is the right one, then "docker rm ${formerName(name)}" there`;
		return refuse(exitCodes.config, `a container "${formerName(name)}" of a former deployment is still there: ${remedy}`);
	}
	if (container.removedOnStop) {
		const remedy = "start it anew without --rm, with a volume and a restart policy";
		return refuse(exitCodes.config, `the container was started with --rm, so it could not be put back: ${remedy}`);
	}
	const named = container.program.startsWith("/") && container.program.endsWith("/muster-worker") ? container.program : usualBinary;
	return go("docker-image", { ...platform, system: "Linux", machine: container.machine, musl: container.musl }, asked ?? named, rights);
}

function leftover(name: string): Decision {
	const remedy = `"docker rename ${formerName(name)} ${name}" and "docker start ${name}" there, then deploy again`;
	return refuse(exitCodes.config, `a deployment was interrupted here: ${remedy}`);
}

function go(mode: Mode, platform: Platform, binary: string, rights: Found["rights"]): Decision {
	const target = targetOf(platform);
	if (target === undefined) {
		return refuse(
			exitCodes.config,
			`there is no worker for ${platform.system} on ${platform.machine}: it is built for Linux on x86_64 and arm64`,
		);
	}
	return { kind: "deploy", mode, target, binary, sudo: rights === "sudo" };
}

function refuse(code: number, why: string): Decision {
	return { kind: "refuse", code, why };
}

/** The target that runs on a platform; undefined when the worker is not built for it. */
export function targetOf({ system, machine, musl }: Platform): Target | undefined {
	const processor = /^(x86_64|amd64)$/.test(machine) ? "x64" : /^(aarch64|arm64)$/.test(machine) ? "arm64" : undefined;
	if (processor === undefined) return undefined;
	if (system === "Linux") return musl ? `linux-${processor}-musl` : `linux-${processor}`;
	return system === "Darwin" && processor === "arm64" ? "darwin-arm64" : undefined;
}
