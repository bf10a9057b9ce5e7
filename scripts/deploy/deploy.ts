/** The deployment, step by step: look, decide, build, copy, swap, wait, and put back what did not come up. */
import { readFile } from "node:fs/promises";
import { exitCodes } from "../../src/protocol/codes.ts";
import type { Api } from "../demo/live.ts";
import { measured, workerFor } from "./build.ts";
import { type Decision, decide } from "./decide.ts";
import { overDocker } from "./docker.ts";
import type { Options } from "./options.ts";
import { type Probed, probe } from "./probe.ts";
import { Remote, SshError } from "./ssh.ts";
import { overSystemd } from "./systemd.ts";
import { hasStartedAnew, viewWorker, type WorkerView } from "./watch.ts";
import type { Way } from "./way.ts";

/** The new worker did not come up and the former one runs again. */
const rolledBack = 1;
const pollMs = 1_000;
/** How often the host is asked whether the worker still stands: a login each. */
const lookMs = 3_000;
/** How often the operator is told that it goes on. */
const tellMs = 10_000;
/** How long a worker has to stand when there is no server to ask. */
const standingMs = 10_000;

/** What a deployment needs from outside. */
export interface Surroundings {
	/** The checkout to build from. */
	readonly root: string;
	/** One line for the operator. */
	readonly say: (line: string) => void;
	/** Ctrl-C: before the swap nothing is done, after it the former worker is put back. */
	readonly interrupted: AbortSignal;
}

/** A reason not to go on, with the exit code; nothing on the host was changed. */
class Refusal extends Error {
	readonly code: number;
	constructor(code: number, why: string) {
		super(why);
		this.code = code;
	}
}

/** The server's view of the worker before anything was done. */
interface Watched {
	readonly api: Api;
	readonly before: WorkerView;
}

/** Deploys; the exit code. Never throws: what went wrong is said. */
export async function deploy(options: Options, around: Surroundings): Promise<number> {
	try {
		const probed = await probe(new Remote(options), options.name);
		const decision = decide(probed.found, options);
		if (decision.kind === "refuse") throw new Refusal(decision.code, decision.why);
		const watched = await watchedBy(options, probed.workerIds[decision.mode]);
		around.say(planOf(options, decision, watched));
		return options.dryRun ? exitCodes.ok : await carryOut(options, probed, decision, watched, around);
	} catch (error) {
		const why = error instanceof Error ? error.message : String(error);
		if (error instanceof Refusal) around.say(`Not deployed to ${options.host}: ${why}`);
		else around.say(why);
		return error instanceof Refusal ? error.code : error instanceof SshError ? exitCodes.unavailable : exitCodes.software;
	}
}

function planOf({ host, name, dryRun }: Options, decision: Decision & { readonly kind: "deploy" }, watched: Watched | undefined): string {
	const { mode, target, binary, sudo } = decision;
	const how = mode === "systemd" ? `systemd runs ${binary} there` : `Docker runs ${binary} in the container ${name} there`;
	const then = mode === "systemd" ? "replace it and restart the unit" : "make a new image and the container anew";
	const checked =
		watched === undefined ? "" : `; the server knows it as ${watched.before.name} (${watched.before.online ? "online" : "not online"})`;
	return `${host} is ${target}; ${how}${sudo ? ", by way of sudo" : ""}: ${dryRun ? "would" : "will"} ${then}${checked}`;
}

async function watchedBy(options: Options, foundId: string | undefined): Promise<Watched | undefined> {
	if (options.url === undefined) return undefined;
	const id = options.worker ?? foundId;
	if (id === undefined)
		throw new Refusal(exitCodes.config, "the worker's id was not found on the host: give --worker ID, or leave --url away");
	const token = options.token ?? (await tokenIn(options.tokenFile ?? ""));
	const api = { url: options.url, token };
	const before = await viewWorker(api, id).catch((error: unknown) => {
		throw new Refusal(
			exitCodes.unavailable,
			`the server at ${api.url} cannot be asked: ${error instanceof Error ? error.message : String(error)}`,
		);
	});
	if (before === null) throw new Refusal(exitCodes.config, `the server at ${api.url} knows no worker ${id} that this token may see`);
	return { api, before };
}

async function tokenIn(path: string): Promise<string> {
	const text = await readFile(path, "utf8").catch((error: unknown) => {
		throw new Refusal(exitCodes.usage, `the token cannot be read: ${error instanceof Error ? error.message : String(error)}`);
	});
	return text.trim();
}

async function carryOut(
	options: Options,
	{ remote, container }: Probed,
	{ mode, target, binary }: Decision & { readonly kind: "deploy" },
	watched: Watched | undefined,
	around: Surroundings,
): Promise<number> {
	const { say, interrupted } = around;
	const build = options.from === undefined ? await workerFor(around.root, target, say) : await measured(options.from);
	if (interrupted.aborted) return stopped(say);
	const way =
		mode === "docker-image" && container !== undefined
			? overDocker(remote, options.name, container, binary)
			: overSystemd(remote, options.name, binary);
	say(`Copying ${build.file} (SHA-256 ${build.sha256.slice(0, 12)}…)`);
	const version = await way.stage(build);
	if (interrupted.aborted) {
		await way.discard();
		return stopped(say);
	}
	say(`Restarting it as ${version}`);
	// Its version the server learns when it enrolls, its boot id with each heartbeat: that tells the restarted worker from the former one.
	const heard = watched && heardOf(watched, (now) => hasStartedAnew(watched.before, now));
	const why = await way.swap().then(
		() => comesUp(way, heard, options.timeoutSeconds * 1000, around),
		(error: unknown) => (error instanceof Error ? error.message : String(error)),
	);
	if (why === undefined) {
		say(`Deployed muster-worker ${version} to ${options.host}; ${await way.settle()}`);
		return exitCodes.ok;
	}
	say(`The new worker did not come up: ${why}`);
	return putBack(way, watched, options, around);
}

function stopped(say: (line: string) => void): number {
	say("Interrupted: nothing was changed");
	return 130;
}

async function putBack(way: Way, watched: Watched | undefined, options: Options, around: Surroundings): Promise<number> {
	around.say("Putting the former worker back");
	try {
		await way.restore();
	} catch (error) {
		around.say(`${error instanceof Error ? error.message : String(error)}: the host needs a hand`);
		return exitCodes.software;
	}
	// The new one is gone, so whatever is heard from now on is the former's: which may never have been stopped, and be no new start.
	const before = watched === undefined ? null : await viewWorker(watched.api, watched.before.id).catch(() => watched.before);
	const heard = watched && heardOf(watched, (now) => now.vitals !== null && now.vitals.at !== before?.vitals?.at);
	const why = await comesUp(way, heard, options.timeoutSeconds * 1000, { ...around, interrupted: new AbortController().signal });
	around.say(
		why === undefined ? "Rolled back: the former worker runs again" : `Rolled back, but the former worker does not come up either: ${why}`,
	);
	return why === undefined ? rolledBack : exitCodes.software;
}

/** Asks the server once: when it last heard the worker, if that is what is waited for. */
function heardOf({ api, before: { id } }: Watched, counts: (now: WorkerView) => boolean): () => Promise<string | undefined> {
	return async () => {
		const now = await viewWorker(api, id).catch((error: unknown) => {
			throw new Error(`the server cannot be asked: ${error instanceof Error ? error.message : String(error)}`);
		});
		return now !== null && counts(now) ? now.vitals?.at : undefined;
	};
}

/** Waits until the server hears the worker, or without a server until it has stood for a while; undefined, or why it is given up. */
async function comesUp(
	way: Way,
	heard: (() => Promise<string | undefined>) | undefined,
	timeoutMs: number,
	{ say, interrupted }: Surroundings,
): Promise<string | undefined> {
	const startedMs = performance.now();
	const sinceMs = () => performance.now() - startedMs;
	let obstacle = "nothing was heard from it";
	const note = (error: unknown) => {
		obstacle = error instanceof Error ? error.message : String(error);
		return undefined;
	};
	let [lookedMs, toldMs] = [0, -tellMs];
	while (sinceMs() < timeoutMs) {
		if (interrupted.aborted) return "interrupted";
		if (sinceMs() - lookedMs >= lookMs) {
			lookedMs = sinceMs();
			const trouble = await way.trouble().catch(note);
			if (trouble !== undefined) return trouble;
		}
		const at = await heard?.().catch(note);
		if (at !== undefined) {
			say(`The server hears it: heartbeat of ${at}, ${(sinceMs() / 1000).toFixed(1)} s after the restart`);
			return undefined;
		}
		if (heard === undefined && sinceMs() > Math.min(standingMs, timeoutMs / 2)) {
			say("It runs; no server was asked whether it hears it (--url)");
			return undefined;
		}
		if (sinceMs() - toldMs >= tellMs) {
			toldMs = sinceMs();
			say(`Waiting ${heard === undefined ? "to see it stand" : "for its heartbeat"} …`);
		}
		await new Promise((resolve) => setTimeout(resolve, pollMs));
	}
	return `${obstacle} within ${timeoutMs / 1000} s`;
}
