/** `npm run deploy-worker -- --host H --user U …`: brings the worker on a host up to date over ssh (H15). */
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { exitCodes } from "../src/protocol/codes.ts";
import { deploy } from "./deploy/deploy.ts";
import { helpText, parseOptions } from "./deploy/options.ts";

process.exit(await main(process.argv.slice(2)));

async function main(args: readonly string[]): Promise<number> {
	const parsed = parseOptions(args);
	if (parsed.kind === "help") {
		process.stdout.write(helpText());
		return exitCodes.ok;
	}
	if (parsed.kind === "problems") {
		process.stderr.write(`${parsed.problems.join("\n")}\n`);
		return exitCodes.usage;
	}
	const interruption = new AbortController();
	for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => interruption.abort());
	return deploy(parsed.options, {
		root: dirname(dirname(fileURLToPath(import.meta.url))),
		say: (line) => void process.stderr.write(`${line}\n`),
		interrupted: interruption.signal,
	});
}
