import { execFileSync } from "node:child_process";
import { createHmac } from "node:crypto";
import { join } from "node:path";
import type { Random } from "../src/lib/random.ts";
import { exitCodes } from "../src/protocol/codes.ts";
import { type Disk, replaceFile } from "./disk.ts";
import { Fatal, reasonOf } from "./fatal.ts";

/** What the machine says about itself; each part is absent when it cannot be read. */
export interface MachineIds {
	/** The operating system's id of this installation. */
	readonly machineId?: string;
	/** The mainboard's or hypervisor's UUID; on Linux only root may read it. */
	readonly hardwareUuid?: string;
}

// Not a secret: it only makes the uid useless for linking Muster's records with those of other programs (see machine-id(5)).
const applicationKey = "muster-machine-uid-v1";

/** Values that firmware and images carry when nobody set a real one. */
const placeholder =
	/^(uninitialized|none|not settable|not specified|to be filled.*|default string|[0-]+|[f-]+|03000200-0400-0500-0006-000700080009)$/;

/**
 * Turns what the machine says into the uid that is sent: 64 hex digits, HMAC-SHA-256 with a fixed application key, so that the raw ids
 * never leave the host (S9). Undefined when nothing usable is known.
 */
export function hashMachineIds(ids: MachineIds): string | undefined {
	const machineId = usable(ids.machineId);
	const hardwareUuid = usable(ids.hardwareUuid);
	if (machineId === undefined && hardwareUuid === undefined) return undefined;
	return createHmac("sha256", applicationKey)
		.update(`machine-id\n${machineId ?? ""}\nhardware-uuid\n${hardwareUuid ?? ""}`)
		.digest("hex");
}

/**
 * This machine's uid. From `machineIdFile` alone when that is given (for containers and tests: several workers on one machine then count
 * as several machines), else from the machine itself, else, as in a container that knows neither id, a random one kept in the state
 * directory. Throws `Fatal` 78 when the given file has no id, 73 when a random one cannot be kept.
 */
export function deriveMachineUid(
	deps: { readonly disk: Disk; readonly random: Random; readonly readIds: () => MachineIds },
	options: { readonly stateDir: string; readonly machineIdFile?: string | undefined },
): string {
	if (options.machineIdFile !== undefined) return uidOfFile(deps.disk, options.machineIdFile);
	const own = hashMachineIds(deps.readIds());
	if (own !== undefined) return own;
	const path = join(options.stateDir, "machine-uid");
	const kept = deps.disk.read(path)?.trim();
	if (kept !== undefined && /^[0-9a-f]{64}$/.test(kept)) return kept;
	const uid = Buffer.from(deps.random.bytes(32)).toString("hex");
	replaceFile(deps.disk, path, `${uid}\n`);
	return uid;
}

/** Reads the ids of the machine this process runs on; never throws. */
export function readMachineIds(disk: Disk): MachineIds {
	if (process.platform === "darwin") {
		return defined({
			hardwareUuid: match(output("/usr/sbin/ioreg", ["-rd1", "-c", "IOPlatformExpertDevice"]), /"IOPlatformUUID" = "([^"]+)"/),
		});
	}
	if (process.platform === "win32") {
		const key = "HKLM\\SOFTWARE\\Microsoft\\Cryptography";
		return defined({ machineId: match(output("reg.exe", ["query", key, "/v", "MachineGuid"]), /MachineGuid\s+REG_SZ\s+(\S+)/) });
	}
	return defined({
		machineId: usable(quietly(() => disk.read("/etc/machine-id"))) ?? usable(quietly(() => disk.read("/var/lib/dbus/machine-id"))),
		hardwareUuid: quietly(() => disk.read("/sys/class/dmi/id/product_uuid")),
	});
}

function uidOfFile(disk: Disk, path: string): string {
	let text: string | undefined;
	try {
		text = disk.read(path);
	} catch (error) {
		throw new Fatal(exitCodes.config, `Cannot read MUSTER_MACHINE_ID_FILE "${path}": ${reasonOf(error)}`, { cause: error });
	}
	const uid = hashMachineIds(defined({ machineId: text }));
	if (uid !== undefined) return uid;
	const why = text === undefined ? "there is no such file" : "it holds no machine id";
	throw new Fatal(exitCodes.config, `Cannot use MUSTER_MACHINE_ID_FILE "${path}": ${why}, put a text of its own there for each machine`);
}

function usable(text: string | undefined): string | undefined {
	const id = text?.trim().toLowerCase();
	return id === undefined || id === "" || placeholder.test(id) ? undefined : id;
}

function quietly(read: () => string | undefined): string | undefined {
	try {
		return read();
	} catch {
		return undefined;
	}
}

function output(command: string, args: readonly string[]): string {
	try {
		return execFileSync(command, args, { encoding: "utf8", timeout: 5_000, stdio: ["ignore", "pipe", "ignore"] });
	} catch {
		return "";
	}
}

function match(text: string, pattern: RegExp): string | undefined {
	return pattern.exec(text)?.[1];
}

function defined(ids: { readonly machineId?: string | undefined; readonly hardwareUuid?: string | undefined }): MachineIds {
	return {
		...(ids.machineId === undefined ? {} : { machineId: ids.machineId }),
		...(ids.hardwareUuid === undefined ? {} : { hardwareUuid: ids.hardwareUuid }),
	};
}
