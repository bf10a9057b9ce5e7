/** A Docker Engine for the tests of stacks: an image made here, and names of this run's own. */
import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const busybox = "/usr/bin/busybox";
const isStatic = () => !/\bdynamically\b|\.so/.test(spawnSync("ldd", [busybox], { encoding: "utf8" }).stdout ?? "");

/** Whether there is an engine, and a busybox that needs no libraries to make an image of. */
export const hasEngine = spawnSync("docker", ["info"], { stdio: "ignore" }).status === 0 && existsSync(busybox) && isStatic();

/** Runs the docker client and returns its output. Throws with its words. */
export function docker(...args: readonly string[]): string {
	return execFileSync("docker", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }).trim();
}

/** Makes an image of busybox; the same files twice are two images. */
export function makeImage(name: string): void {
	const place = mkdtempSync(join(tmpdir(), "muster-stacks-"));
	try {
		mkdirSync(join(place, "bin"));
		mkdirSync(join(place, "tmp"));
		mkdirSync(join(place, "data"));
		copyFileSync(busybox, join(place, "bin", "busybox"));
		for (const applet of ["sh", "sleep", "cat", "echo", "true", "test", "touch", "nc", "httpd"])
			symlinkSync("busybox", join(place, "bin", applet));
		execFileSync("tar", ["-C", place, "-cf", join(place, "..", `${name.replace(":", "-")}.tar`), "."]);
		docker("import", "--change", "ENV PATH=/bin", join(place, "..", `${name.replace(":", "-")}.tar`), name);
	} finally {
		rmSync(place, { recursive: true, force: true });
		rmSync(join(tmpdir(), `${name.replace(":", "-")}.tar`), { force: true });
	}
}

/** Removes all that carries the project's label. */
export function sweep(project: string): void {
	const filter = ["--filter", `label=com.docker.compose.project=${project}`, "--quiet"];
	const each = (list: readonly string[], remove: readonly string[]) => {
		const ids = docker(...list, ...filter)
			.split("\n")
			.filter(Boolean);
		if (ids.length > 0) spawnSync("docker", [...remove, ...ids], { stdio: "ignore" });
	};
	each(["ps", "--all"], ["rm", "--force", "--volumes"]);
	each(["network", "ls"], ["network", "rm"]);
	each(["volume", "ls"], ["volume", "rm", "--force"]);
}
