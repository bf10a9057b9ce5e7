import { describe, expect, test } from "bun:test";
import type { Random } from "../../../src/lib/random.ts";
import { deriveMachineUid, hashMachineIds, type MachineIds } from "../../../worker/machine-uid.ts";
import { FakeDisk } from "./fake-disk.ts";

const machineId = "0123456789abcdef0123456789abcdef";
const hardwareUuid = "4C4C4544-0042-3510-8052-B4C04F564432";
let drawn = 0;
const random: Random = { bytes: (length) => new Uint8Array(length).fill(++drawn), fraction: () => 0 };

function derive(disk: FakeDisk, ids: MachineIds, machineIdFile?: string): string {
	return deriveMachineUid({ disk, random, readIds: () => ids }, { stateDir: "/state", machineIdFile });
}

describe("the machine uid", () => {
	test("S9: is 64 hex digits that hold neither raw id, and the same at every start", () => {
		const uid = derive(new FakeDisk(), { machineId, hardwareUuid });

		expect(uid).toMatch(/^[0-9a-f]{64}$/);
		expect(uid).not.toContain(machineId);
		expect(derive(new FakeDisk(), { machineId: `${machineId}\n`, hardwareUuid: hardwareUuid.toLowerCase() })).toBe(uid);
	});

	test("S9: is this very value for this machine, so that no release makes all workers new ones", () => {
		expect(hashMachineIds({ machineId, hardwareUuid })).toBe("32c574fa21b94b87d90a59a3207d35f33aa91d9abbbfbcddd6e153c975e7b4b8");
	});

	test("S9: differs when either id differs", () => {
		const uids = [
			hashMachineIds({ machineId, hardwareUuid }),
			hashMachineIds({ machineId }),
			hashMachineIds({ hardwareUuid }),
			hashMachineIds({ machineId: hardwareUuid }),
		];

		expect(new Set(uids).size).toBe(4);
	});

	test.each(["", "\n", "uninitialized\n", "00000000-0000-0000-0000-000000000000", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", "Not Settable"])(
		"S9: %j is no id",
		(text) => {
			expect(hashMachineIds({ machineId: text, hardwareUuid: text })).toBeUndefined();
		},
	);

	test("S9: without either id it is a random one that stays in the state directory", () => {
		const disk = new FakeDisk();
		const uid = derive(disk, {});

		expect(uid).toMatch(/^[0-9a-f]{64}$/);
		expect(derive(disk, {})).toBe(uid);
		expect(derive(new FakeDisk(), {})).not.toBe(uid);
	});

	test("S9: a given machine-id file alone decides, whatever the machine says", () => {
		const disk = new FakeDisk();
		disk.write("/id-a", "machine a\n");
		disk.write("/id-b", "machine b\n");

		expect(derive(disk, { machineId, hardwareUuid }, "/id-a")).toBe(derive(disk, {}, "/id-a"));
		expect(derive(disk, { hardwareUuid }, "/id-a")).not.toBe(derive(disk, { hardwareUuid }, "/id-b"));
	});

	test("A16: a given machine-id file without an id is told with its path", () => {
		const disk = new FakeDisk();
		disk.write("/empty", "\n");

		expect(() => derive(disk, {}, "/empty")).toThrow(/MUSTER_MACHINE_ID_FILE "\/empty": it holds no machine id/);
		expect(() => derive(disk, {}, "/gone")).toThrow(/there is no such file/);
	});
});
