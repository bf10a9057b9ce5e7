import { expect, test } from "bun:test";
import { existsSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { removeFile, replaceFile, systemDisk } from "../../worker/disk.ts";
import { findStateDir, openStateDir } from "../../worker/state-dir.ts";
import { Machine } from "./support.ts";

test("A9: a missing state directory is made with all its parents, for its owner alone", () => {
	using machine = new Machine();
	const path = join(machine.root, "a", "b");

	expect(openStateDir(path)).toBe(path);
	expect(statSync(path).mode & 0o777).toBe(0o700);
});

test.each([0o755, 0o750, 0o710, 0o701, 0o770])("A16: a state directory with mode %o is refused with 73", (mode) => {
	using machine = new Machine();
	mkdirSync(machine.stateDir);
	machine.chmod(mode);

	expect(() => openStateDir(machine.stateDir)).toThrow(
		expect.objectContaining({ exitCode: 73, message: expect.stringContaining("chmod 0700") }),
	);
});

test("A16: a file in the place of the state directory is refused with 73", () => {
	using machine = new Machine();
	writeFileSync(machine.stateDir, "");

	expect(() => openStateDir(machine.stateDir)).toThrow(expect.objectContaining({ exitCode: 73 }));
	expect(() => openStateDir(join(machine.stateDir, "below"))).toThrow(expect.objectContaining({ exitCode: 73 }));
});

test("A16: status makes no directory", () => {
	using machine = new Machine();

	expect(findStateDir(machine.stateDir)).toBeUndefined();
	expect(existsSync(machine.stateDir)).toBe(false);
});

test("A9: a file is replaced as a whole, for its owner alone, even when a wider one was left there", () => {
	using machine = new Machine();
	const path = join(openStateDir(machine.stateDir), "file");
	writeFileSync(join(machine.stateDir, ".file.tmp"), "left over", { mode: 0o644 });
	writeFileSync(path, "old", { mode: 0o644 });

	replaceFile(systemDisk, path, "new");

	expect(systemDisk.read(path)).toBe("new");
	expect(machine.modes()).toEqual({ ".": "700", file: "600" });
	removeFile(systemDisk, path);
	expect(machine.files()).toEqual([]);
});
