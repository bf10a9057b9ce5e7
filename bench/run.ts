/**
 * `npm run bench [-- NAME] [-- --quick]`: every measurement, or one, with its progress, a table at the end, JSON in bench/results.
 * `npm run bench -- flapping [WORKERS] [MINUTES]` (200, 10), `npm run bench -- footprint [MINUTES]` (10), and
 * `npm run bench -- dashboard [HOSTS] [CHANGES A SECOND] [MINUTES]` (10000, 500, 5), are no ratios and run by name only.
 */
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { dashboard } from "./dashboard.ts";
import { flapping } from "./flapping.ts";
import { footprint } from "./footprint.ts";
import type { Ratio } from "./harness.ts";
import { refusalTiming } from "./refusal-timing.ts";
import { verifyKey } from "./verify-key.ts";

const measurements: Readonly<Record<string, (rounds: number, progress: (text: string) => void) => Promise<readonly Ratio[]>>> = {
	"verify-key": async (rounds, progress) => [await verifyKey(rounds, progress)],
	"refusal-timing": refusalTiming,
};

/** What is no ratio, and takes long: runs by its name only. */
const reports: Readonly<Record<string, (numbers: readonly number[], progress: (text: string) => void) => Promise<unknown>>> = {
	flapping: ([workers = 200, minutes = 10], progress) => flapping(workers, minutes, progress),
	footprint: ([minutes = 10], progress) => footprint(minutes, progress),
	dashboard: ([hosts = 10_000, perSecond = 500, minutes = 5], progress) => dashboard(hosts, perSecond, minutes, progress),
};
const [word = "", ...numbers] = process.argv.slice(2).filter((argument) => !argument.startsWith("-"));
const report = reports[word];
if (report !== undefined) {
	const result = await report(numbers.map(Number), (text) => process.stderr.write(`${text}\n`));
	const at = new Date().toISOString();
	process.stdout.write(`${JSON.stringify(result, null, "\t")}\n`);
	const file = join(import.meta.dirname, "results", `${word}-${at.slice(0, 10)}.json`);
	writeFileSync(file, `${JSON.stringify({ at, cores: cpus().length, result }, null, "\t")}\n`);
	process.exit(0);
}

const names = process.argv.slice(2).filter((argument) => !argument.startsWith("-"));
const unknown = names.filter((name) => measurements[name] === undefined);
if (unknown.length > 0) {
	process.stderr.write(`There is no measurement "${unknown.join(", ")}": the measurements are ${Object.keys(measurements).join(", ")}\n`);
	process.exit(64);
}
const rounds = process.argv.includes("--quick") ? 5 : 15;
const progress = (text: string) => process.stderr.write(process.stderr.isTTY ? `\r\u001b[K${text}` : `${text}\n`);

const results: Ratio[] = [];
for (const [name, measure] of Object.entries(measurements)) {
	if (names.length === 0 || names.includes(name)) results.push(...(await measure(rounds, progress)));
}
if (process.stderr.isTTY) process.stderr.write("\n");

process.stdout.write("measurement               subject µs   limit µs   ratio\n");
for (const { name, subjectUs, limitUs, ratio, ...more } of results) {
	const chance = "chance" in more && typeof more.chance === "number" ? `   longer than the limit: ${(more.chance * 100).toFixed(1)} %` : "";
	process.stdout.write(
		`${name.padEnd(25)} ${subjectUs.toFixed(2).padStart(10)} ${limitUs.toFixed(2).padStart(10)} ${ratio.toFixed(2).padStart(7)}${chance}\n`,
	);
}
const at = new Date().toISOString();
const file = join(import.meta.dirname, "results", `${at.slice(0, 10)}.json`);
writeFileSync(file, `${JSON.stringify({ at, cores: cpus().length, results }, null, "\t")}\n`);
process.exit(0);
