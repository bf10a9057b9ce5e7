/** Closed loops of enrollments by wrk, where it is installed. It signs and unseals nothing: HMAC, sealed replies and bursts are for our client. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import type { EnrollLoad, LoadResult } from "./load/enroll-client.ts";
import { admittedText, bodies, headOf, numberLength } from "./load/enroll-request.ts";
import { child } from "./stage.ts";

/** A closed loop: by wrk where it is installed and can, by our client elsewhere. */
export function closedLoop(server: { readonly url: string }, load: Omit<EnrollLoad, "port">): Promise<LoadResult> {
	const whole = { ...load, port: Number(new URL(server.url).port) };
	return wrkCan(load) ? wrkEnrollments(whole) : child<LoadResult>("bench/load/enroll-client.ts", whole);
}

let found: boolean | undefined;

/** Whether wrk is installed (Debian: wrk) and can make this load. */
export function wrkCan({ credential, once, replyKey, wrong }: Omit<EnrollLoad, "port">): boolean {
	found ??= spawnSync("wrk", ["--version"]).error === undefined;
	return found && once !== true && replyKey === undefined && wrong === undefined && !("autoSecret" in credential);
}

/** Runs it, first for a second that does not count; throws when its connections fail. Refusals are counted by the text of each answer. */
export async function wrkEnrollments(load: EnrollLoad): Promise<LoadResult> {
	if (load.warmSeconds > 0) await run(load, Math.ceil(load.warmSeconds));
	return run(load, Math.ceil(load.seconds));
}

interface Said {
	readonly requests: number;
	readonly micros: number;
	readonly refused: number;
	readonly broken: number;
	readonly p50: number;
	readonly p90: number;
	readonly p99: number;
	readonly max: number;
}

async function run(load: EnrollLoad, seconds: number): Promise<LoadResult> {
	const body = bodies(load)("#".repeat(numberLength));
	const env = { ...process.env, REQUEST: headOf(load.port, body.length) + body, ADMITTED: admittedText(load) };
	const script = join(import.meta.dirname, "load", "enroll.lua");
	const options = ["-t1", `-c${load.clients}`, `-d${seconds}s`, "--timeout", "10s", "-s", script];
	const began = performance.now();
	const wrk = Bun.spawn(["wrk", ...options, `http://127.0.0.1:${load.port}/graphql`], { env, stdout: "pipe", stderr: "inherit" });
	const output = await new Response(wrk.stdout).text();
	const code = await wrk.exited;
	const passed = (performance.now() - began) * 1_000;
	const said = /RESULT (.*)/.exec(output)?.[1];
	if (code !== 0 || said === undefined) throw new Error(`wrk ended with ${code}: ${output.slice(-1_000)}`);
	const { requests, micros, refused, broken, ...times } = JSON.parse(said) as Said;
	if (broken > 0) throw new Error(`wrk lost ${broken} connections or answers: ${output.slice(-1_000)}`);
	if (refused > 0) process.stderr.write(`${/REFUSAL (.*)/.exec(output)?.[0]}\n`);
	const answers = requests - refused;
	return {
		...times,
		answers,
		perSecond: (answers / micros) * 1e6,
		lastAnswerSeconds: micros / 1e6,
		refused,
		wrongAnswers: 0,
		cpuShare: Number(wrk.resourceUsage()?.cpuTime.total ?? 0) / passed,
		generator: "wrk",
	};
}
