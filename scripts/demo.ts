/**
 * `npm run demo`: the whole story in one terminal, with the public API and the compiled worker only. Ends 0 when every step showed its evidence,
 * 1 with a sentence when one did not, 64 for an unknown argument, 69 when `--fuse` or `--mesh` lacks a program, 130 or 143 when told to stop.
 * Leaves no process and no directory behind.
 */
import { mkdtempSync, chmodSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { removeDataDir } from "../src/db/embedded-files.ts";
import { exitCodes } from "../src/protocol/codes.ts";
import { findFuseParts, tellFuse } from "./demo/fuse.ts";
import { complain, Interrupted, print } from "./demo/stage.ts";
import { findParts } from "./demo/mesh-parts.ts";
import { tellMesh } from "./demo/mesh.ts";
import { type Props, tell } from "./demo/story.ts";

const interruption = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => interruption.abort(new Interrupted(signal)));
// A reader that has gone away (`npm run demo | head`) ends the demo like a signal does.
process.stdout.on("error", () => interruption.abort(new Interrupted("SIGPIPE")));

type Story = { readonly tell: (props: Props) => Promise<void> } | { readonly missing: string };
const main = (): Story => ({ tell });
/** What else it can tell. Each looks first whether the programs are there that it needs. */
const stories: Readonly<Record<string, () => Story>> = {
	"--fuse": () => withParts(findFuseParts(), tellFuse),
	"--mesh": () => withParts(findParts(), tellMesh),
};

const args = process.argv.slice(2);
process.exit(await demo());

async function demo(): Promise<number> {
	const [asked] = args;
	const choose = asked === undefined ? main : stories[asked];
	if (choose === undefined || args.length > 1) {
		complain(`Unknown argument "${args.at(-1)}": npm run demo, npm run demo -- --fuse, or npm run demo -- --mesh`);
		return exitCodes.usage;
	}
	const story = choose();
	if ("missing" in story) {
		complain(story.missing);
		return exitCodes.unavailable;
	}
	const startedMs = performance.now();
	const home = mkdtempSync(join(tmpdir(), "muster-demo-"));
	// PostgreSQL refuses root, so another account has to get to the data directory below.
	chmodSync(home, 0o755);
	const props: Props = { home, dataDir: join(home, "data"), signal: interruption.signal, onEnd: [] };
	let code: number = exitCodes.ok;
	try {
		await story.tell(props);
	} catch (error) {
		code = report(interruption.signal.aborted ? interruption.signal.reason : error);
	}
	try {
		for (const undo of props.onEnd.reverse()) await undo();
		await removeDataDir(props.dataDir);
		await rm(home, { recursive: true, force: true });
	} catch (error) {
		complain(`Cannot clean up ${home}: ${error instanceof Error ? error.message : String(error)}`);
		code ||= 1;
	}
	if (code === exitCodes.ok)
		print(
			`\nAll of it took ${((performance.now() - startedMs) / 1000).toFixed(1)} seconds; no process and no file is left. Now try: npm start`,
		);
	return code;
}

function withParts<P extends object>(found: P | { readonly missing: string }, say: (props: Props, parts: P) => Promise<void>): Story {
	return "missing" in found ? { missing: found.missing } : { tell: (props) => say(props, found) };
}

function report(error: unknown): number {
	complain(`\nThe demo stopped: ${error instanceof Error ? error.message : String(error)}`);
	if (!(error instanceof Interrupted)) return 1;
	return error.signal === "SIGINT" ? 130 : 143;
}
