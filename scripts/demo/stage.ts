/** How the demo talks: numbered steps in plain sentences, each followed by its evidence; and how it waits and stops. */
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";

/** Longest wait for one piece of evidence; an ordinary machine needs a tenth of it. */
const evidenceSeconds = 30;
/** How often a condition is looked at. */
const pollMs = 50;

/** The demo was told to stop. */
export class Interrupted extends Error {
	readonly signal: NodeJS.Signals;
	constructor(signal: NodeJS.Signals) {
		super(`Stopped by ${signal}`);
		this.signal = signal;
	}
}

const coloured = process.stdout.isTTY && (process.env.NO_COLOR ?? "") === "";
let steps = 0;

/** Begins a step: one numbered sentence. */
export function step(sentence: string): void {
	steps += 1;
	print(`\n${paint("1;36", `${String(steps).padStart(2)}. ${sentence}`)}`);
}

/** Evidence for the step, line by line as it came. */
export function evidence(...lines: readonly string[]): void {
	for (const line of lines) print(`      ${paint("2", line)}`);
}

/** What the evidence amounts to. */
export function conclude(sentence: string): void {
	print(`    ${paint("32", "ok")}  ${sentence}`);
}

/** A line of its own. */
export function print(line: string): void {
	process.stdout.write(`${line}\n`);
}

/** Says on stderr why the demo ends early. */
export function complain(line: string): void {
	process.stderr.write(`${line}\n`);
}

/** Looks again and again until `look` gives something. Throws a sentence that names `what` when it never does, and at once when told to stop. */
export async function until<T>(what: string, signal: AbortSignal, look: () => T | undefined | Promise<T | undefined>): Promise<T> {
	const end = performance.now() + evidenceSeconds * 1_000;
	for (;;) {
		signal.throwIfAborted();
		const found = await look();
		if (found !== undefined) return found;
		if (performance.now() > end) throw new Error(`Waited ${evidenceSeconds} seconds in vain for ${what}`);
		await pause(pollMs);
	}
}

/** Ends the demo with a sentence when something is not as it has to be. */
export function expect(holds: boolean, otherwise: string): void {
	if (!holds) throw new Error(otherwise);
}

function paint(code: string, text: string): string {
	return coloured ? `\u001b[${code}m${text}\u001b[0m` : text;
}
