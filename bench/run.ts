/**
 * `npm run bench [-- NAME …] [-- --quick]`: every question, or some, with their progress, a table at the end, and JSON, Markdown and a plot in
 * bench/results, written after each question. A question that fails is named at the end, and the exit code is 1.
 * `npm run bench -- flapping [WORKERS] [MINUTES]` (200, 10), `npm run bench -- footprint [MINUTES]` (10) and
 * `npm run bench -- dashboard [HOSTS] [CHANGES A SECOND] [MINUTES]` (10000, 500, 5) are no ratios and run by name only.
 */
import { writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { dashboard } from "./dashboard.ts";
import { enrolling } from "./enroll.ts";
import type { LoadPoint } from "./enroll-figures.ts";
import type { Figure } from "./figures.ts";
import { flapping } from "./flapping.ts";
import { footprint } from "./footprint.ts";
import { growth } from "./growth.ts";
import type { Ratio } from "./harness.ts";
import { plot } from "./plot.ts";
import { type Answer, json, markdown, type Run, table } from "./report.ts";
import { refusalTiming } from "./refusal-timing.ts";
import { openSlowPostgres } from "./slow-disk.ts";
import { fanOut } from "./fan-out.ts";
import { heartbeats } from "./heartbeat.ts";
import { workerSockets } from "./worker-sockets.ts";
import type { Progress } from "./stage.ts";
import { verifyKey } from "./verify-key.ts";

const points: LoadPoint[] = [];
/** Questions that ended with an error. */
const failed: string[] = [];

/** One question a name; each sets its subject beside its limit in the same run. */
const questions: Readonly<Record<string, (quick: boolean, progress: Progress) => Promise<readonly Figure[]>>> = {
	"verify-key": async (quick, progress) => [
		{
			...figureOf(await verifyKey(quick ? 3 : 15, progress)),
			name: "hot check of a proven key ÷ bare HMAC-SHA-256 and compare",
			bar: 2,
			stretch: 1.3,
			less: true,
		},
	],
	"refusal-timing": async (quick, progress) => (await refusalTiming(quick ? 1 : 15, progress)).map(figureOf),
	async enroll(quick, progress) {
		const result = await enrolling(quick, progress);
		points.push(...result.points);
		return result.figures;
	},
	heartbeat: (quick, progress) => heartbeats(quick ? 1 : 5, quick, progress),
	"worker-sockets": workerSockets,
	"fan-out": fanOut,
	growth,
	async "slow-disk"(quick, progress) {
		const slow = quick ? undefined : await openSlowPostgres();
		if (slow !== undefined) return (await enrolling(quick, progress, slow)).figures;
		progress("slow-disk: left out (--quick, or no gcc and embedded PostgreSQL for Linux here)");
		return [];
	},
};

function figureOf({ name, ratio, subjectUs, limitUs, ...more }: Ratio): Figure {
	const chance = "chance" in more && typeof more.chance === "number" ? { longerThanTheLimit: more.chance } : {};
	return { name, value: ratio, detail: { subjectUs, limitUs, ...chance } };
}

/** What is no ratio, and takes long: runs by its name only. */
const reports: Readonly<Record<string, (numbers: readonly number[], progress: Progress) => Promise<unknown>>> = {
	flapping: ([workers = 200, minutes = 10], progress) => flapping(workers, minutes, progress),
	footprint: ([minutes = 10], progress) => footprint(minutes, progress),
	dashboard: ([hosts = 10_000, perSecond = 500, minutes = 5], progress) => dashboard(hosts, perSecond, minutes, progress),
};
const words = process.argv.slice(2).filter((argument) => !argument.startsWith("-"));
const [word = "", ...numbers] = words;
const at = new Date().toISOString();
const resultFile = (name: string) => join(import.meta.dirname, "results", name);
const report = reports[word];
if (report !== undefined) {
	const result = await report(numbers.map(Number), (text) => process.stderr.write(`${text}\n`));
	process.stdout.write(`${JSON.stringify(result, null, "\t")}\n`);
	writeFileSync(resultFile(`${word}-${at.slice(0, 10)}.json`), `${JSON.stringify({ at, cores: cpus().length, result }, null, "\t")}\n`);
	process.exit(0);
}

const unknown = words.filter((name) => questions[name] === undefined);
if (unknown.length > 0) {
	process.stderr.write(`There is no question "${unknown.join(", ")}": the questions are ${Object.keys(questions).join(", ")}\n`);
	process.exit(64);
}
const quick = process.argv.includes("--quick");
const progress = (text: string) => process.stderr.write(process.stderr.isTTY ? `\r\u001b[K${text}` : `${text}\n`);

const before = load();
const began = performance.now();
const name = `${at.slice(0, 10)}${quick ? "-quick" : ""}${words.length === 0 ? "" : `-${words.join("-")}`}`;
const answers: Answer[] = [];
for (const [question, ask] of Object.entries(questions)) {
	if (words.length > 0 && !words.includes(question)) continue;
	const asked = performance.now();
	try {
		answers.push({ question, figures: await ask(quick, progress), seconds: (performance.now() - asked) / 1_000 });
	} catch (error) {
		failed.push(question);
		process.stderr.write(`\n${question} ended with ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
	}
	// A run that is stopped keeps what it has measured.
	store();
}
if (process.stderr.isTTY) process.stderr.write("\n");
process.stdout.write(table(soFar()));
if (failed.length > 0) process.stdout.write(`without an answer: ${failed.join(", ")}\n`);
process.exit(failed.length > 0 ? 1 : 0);

function load(): number {
	return Number((loadavg()[0] ?? 0).toFixed(1));
}

function soFar(): Run {
	const seconds = (performance.now() - began) / 1_000;
	return { at, cores: cpus().length, quick, load: { before, after: load() }, seconds, answers, points };
}

function store(): void {
	const run = soFar();
	writeFileSync(resultFile(`${name}.json`), json(run));
	if (points.length > 0) writeFileSync(resultFile(`${name}.svg`), plot(points));
	writeFileSync(resultFile(`${name}.md`), markdown(run, points.length > 0 ? `${name}.svg` : undefined));
}
