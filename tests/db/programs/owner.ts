/** Owns an embedded database until its standard input ends, then stops it, as a server does. */
import process from "node:process";
import { startEmbedded } from "../../../src/db/embedded.ts";
import { silentLog } from "../../../src/lib/log.ts";
import { selectRuntime } from "../../../src/runtime/select.ts";

const runtime = await selectRuntime();
const ended = new Promise<void>((resolve) => {
	process.stdin.on("end", resolve);
});
process.stdin.resume();
const database = await startEmbedded({ dataDir: process.env["OWNER_DATA_DIR"] ?? "", log: silentLog });
process.stdout.write(`${JSON.stringify({ kind: "up", adopted: database.adopted, url: database.url.reveal() })}\n`);
await ended;
await database.stop();
runtime.exit(0);
