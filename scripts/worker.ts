/** `npm run worker -- ARGS`: builds dist/muster-worker when it is missing or older than its sources, then runs it as if called by hand. */
import { spawn } from "node:child_process";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { exitCodes } from "../src/protocol/codes.ts";
import { ensureWorker } from "../worker/build.ts";

process.exit(await runWorker(dirname(dirname(fileURLToPath(import.meta.url))), process.argv.slice(2)));

async function runWorker(root: string, args: readonly string[]): Promise<number> {
	let binary: string;
	try {
		binary = await ensureWorker(root);
	} catch (error) {
		process.stderr.write(`Cannot build the worker: ${error instanceof Error ? error.message : String(error)}\n`);
		return exitCodes.software;
	}
	return await new Promise((resolve) => {
		const child = spawn(binary, args, { stdio: "inherit" });
		process.on("SIGTERM", () => child.kill("SIGTERM"));
		// A terminal sends Ctrl-C to the whole group: the worker has it already, and we only have to outlive it.
		process.on("SIGINT", () => {
			if (!process.stdin.isTTY) child.kill("SIGINT");
		});
		child.on("error", (error) => {
			process.stderr.write(`Cannot run ${binary}: ${error.message}\n`);
			resolve(exitCodes.software);
		});
		child.on("exit", (code, signal) => resolve(code ?? (signal === "SIGINT" ? 130 : 143)));
	});
}
