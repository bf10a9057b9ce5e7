/** `npm run bench [-- --quick]`: every measurement with its progress, a table at the end, JSON in bench/results. */
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { verifyKey } from "./verify-key.ts";

const rounds = process.argv.includes("--quick") ? 5 : 15;
const progress = (text: string) => process.stderr.write(process.stderr.isTTY ? `\r\u001b[K${text}` : `${text}\n`);

const results = [await verifyKey(rounds, progress)];
if (process.stderr.isTTY) process.stderr.write("\n");

process.stdout.write("measurement        subject µs   limit µs   ratio\n");
for (const { name, subjectUs, limitUs, ratio } of results) {
	process.stdout.write(
		`${name.padEnd(18)} ${subjectUs.toFixed(2).padStart(10)} ${limitUs.toFixed(2).padStart(10)} ${ratio.toFixed(2).padStart(7)}\n`,
	);
}
const at = new Date().toISOString();
const file = join(import.meta.dirname, "results", `${at.slice(0, 10)}.json`);
writeFileSync(file, `${JSON.stringify({ at, cores: cpus().length, results }, null, "\t")}\n`);
