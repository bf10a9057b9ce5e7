/** What a run came to, as a table for the terminal, Markdown and JSON. Pure. */
import type { LoadPoint } from "./enroll-figures.ts";
import { type Figure, standing } from "./figures.ts";

/** What one question came to. */
export interface Answer {
	readonly question: string;
	readonly seconds: number;
	readonly figures: readonly Figure[];
}

/** A run, as it is stored: while it is under way, with what it has so far. */
export interface Run {
	/** ISO 8601. */
	readonly at: string;
	readonly cores: number;
	readonly quick: boolean;
	/** The machine's load average over a minute, before and after. */
	readonly load: { readonly before: number; readonly after: number };
	readonly seconds: number;
	readonly answers: readonly Answer[];
	readonly points: readonly LoadPoint[];
}

const mark = (value: number | undefined, less = false) => (value === undefined ? "" : `${less ? "≤" : "≥"} ${value}`);
const short = (amount: number) => String(Number(amount.toPrecision(4)));
const details = ({ detail = {} }: Figure) => Object.entries(detail).map(([what, amount]) => `${what} ${short(amount)}`);

/** For the terminal. */
export function table({ answers, load, cores, seconds }: Run): string {
	const row = (cells: readonly string[]) => `${cells.map((cell, index) => (index === 0 ? cell.padEnd(78) : cell.padStart(9))).join(" ")}\n`;
	const lines = answers
		.flatMap(({ figures }) => figures)
		.map((figure) => {
			const { name, value, bar, stretch, less } = figure;
			const more = details(figure);
			return `${row([name, value.toFixed(2), mark(bar, less), mark(stretch, less), standing(figure)])}${more.length > 0 ? `    ${more.join(" · ")}\n` : ""}`;
		});
	return `${row(["figure", "value", "bar", "stretch", ""])}${lines.join("")}load of this machine: ${load.before} before, ${load.after} after, ${cores} cores; it took ${spell(seconds)}\n`;
}

/** For people to read in the repository. */
export function markdown(run: Run, plotFile: string | undefined): string {
	const { at, answers, load, cores, quick, seconds } = run;
	const head = `# Measured at ${at.slice(0, 16).replace("T", " ")} UTC${quick ? ", small sizes" : ""}\n\n${cores} cores, load ${load.before} before and ${load.after} after, ${spell(seconds)}. What each figure is: [bench/README.md](../README.md).`;
	const rows = answers.flatMap(({ question, figures }) =>
		figures.map((figure) => {
			const { name, value, bar, stretch, less } = figure;
			return `| ${question} | ${name} | ${value.toFixed(2)} | ${mark(bar, less)} | ${mark(stretch, less)} | ${standing(figure)} | ${details(figure).join("<br>")} |`;
		}),
	);
	const columns = "| question | figure | value | bar | stretch | | beside it |\n| --- | --- | --- | --- | --- | --- | --- |";
	const took = answers.map((answer) => `${answer.question} ${spell(answer.seconds)}`).join(", ");
	return `${[head, `${columns}\n${rows.join("\n")}`, ...(plotFile === undefined ? [] : [`![Throughput and p99 against load](${plotFile})`]), `Time each question took: ${took}.`].join("\n\n")}\n`;
}

/** For programs. */
export function json(run: Run): string {
	return `${JSON.stringify(run, null, "\t")}\n`;
}

/** Minutes and seconds. */
export function spell(seconds: number): string {
	const whole = Math.round(seconds);
	return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}
