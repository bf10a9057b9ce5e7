import { inspectContainer, listContainers, startContainer } from "../src/engine/containers.ts";
import type { Engine } from "../src/engine/engine.ts";
import { EngineError } from "../src/engine/error.ts";
import { absurd } from "../src/lib/absurd.ts";
import { type CommandErrorCode, type CommandKind, commandKinds } from "../src/protocol/commands.ts";
import { decide, type Trace } from "./commands-decide.ts";
import type { Journal } from "./commands-journal.ts";
import { type CommandContext, CommandFault, commandLabel } from "./commands-kind.ts";
import { containerOf, doers } from "./commands-table.ts";
import type { Connected, Docker } from "./docker.ts";
import { reasonOf } from "./fatal.ts";

/** A command whose kind is known and whose parameters are those of the kind. */
export interface Order {
	readonly id: string;
	readonly kind: CommandKind;
	readonly params: unknown;
	/** Milliseconds since the epoch; undefined: none. */
	readonly deadlineMs: number | undefined;
}

/** What a command is done with, besides its own streams. */
export interface RunDeps extends Pick<CommandContext, "clock" | "random" | "timers" | "fuse"> {
	readonly docker: Docker;
	readonly journal: Journal;
}

/** After the host's start the engine may come up later than the worker. */
const engineWait = { everyMs: 1_000, times: 60 };

/** Whether a kind is noted before it is done: looking at a container again does no harm. */
export function isJournaled(kind: CommandKind): boolean {
	return kind !== "container.inspect";
}

/**
 * Does a command, once: what the journal says was begun before is looked into first. Resolves with the result; throws what
 * `endOf` makes an end of. Refuses what changes containers unless this worker's own record says that the host is fused to this very engine (H12).
 */
export async function perform(
	deps: RunDeps,
	order: Order,
	streams: Pick<CommandContext, "output" | "input" | "signal">,
	/** Called once it is under way: noted, and not refused. */
	began: () => void,
): Promise<unknown> {
	const { journal, fuse, clock } = deps;
	const context = { ...deps, ...streams, commandId: order.id };
	const doer = doers[order.kind];
	if (!doer.needsEngine) {
		journal.begin(order.id, order.kind, null, clock.now());
		began();
		return doer.run({ ...context, target: "" }, order.params);
	}
	const begun = journal.get(order.id);
	if (begun?.begunAtMs !== null && begun !== undefined) {
		began();
		const recovered = await recover(deps, order, { ...begun, kind: order.kind, begunAtMs: begun.begunAtMs }, streams.signal);
		if (recovered !== undefined) return recovered.result;
	}
	const connected = await deps.docker.connect(streams.signal);
	refuseUnfused(deps, order.kind, connected);
	try {
		const target = begun?.target ?? (await findTarget(connected.engine, order, streams.signal));
		if (isJournaled(order.kind)) journal.begin(order.id, order.kind, target ?? null, clock.now());
		began();
		return await doer.run({ ...context, ...connected, fuse, target: target ?? "" }, order.params);
	} catch (error) {
		deps.docker.noteFault(error);
		throw error;
	}
}

/** The code and the words for whatever ended a command. */
export function errorOf(error: unknown): { readonly code: CommandErrorCode; readonly message: string } {
	const code = error instanceof EngineError || error instanceof CommandFault ? error.code : "internal";
	return { code, message: reasonOf(error) };
}

function refuseUnfused({ fuse }: RunDeps, kind: CommandKind, { info }: Connected): void {
	if (commandKinds[kind].needs !== "fused") return;
	const why = fuse.refusal(info.id);
	if (why !== undefined) throw new CommandFault("not_fused", why);
}

/** The id of the container the command is about: its name may be another's by the time a worker looks again. */
async function findTarget(engine: Engine, { params }: Order, signal: AbortSignal): Promise<string | undefined> {
	const container = containerOf(params);
	return container === undefined ? undefined : (await inspectContainer(engine, container, { signal })).Id;
}

/** What became of a command that a former worker began; undefined: it is to be done. */
async function recover(
	deps: RunDeps,
	order: Order,
	begun: Parameters<typeof decide>[0] & { readonly target: string | null },
	signal: AbortSignal,
): Promise<{ readonly result: unknown } | undefined> {
	const connected = await awaitEngine(deps, signal);
	const trace = connected && (await findTrace(connected.engine, order, begun.target, signal));
	const decision = connected === undefined ? { kind: "interrupted" as const } : decide(begun, trace, begun.target);
	switch (decision.kind) {
		case "done":
			return { result: { containerId: decision.containerId } };
		case "start":
			if (connected !== undefined && wantsStart(order.params)) {
				refuseUnfused(deps, order.kind, connected);
				await startContainer(connected.engine, decision.containerId);
			}
			return { result: { containerId: decision.containerId } };
		case "interrupted":
			throw new CommandFault("interrupted", "The worker ended while this was under way, and nobody can say how far it came");
		case "repeat":
		case "report":
			return undefined;
		default:
			return absurd(decision);
	}
}

async function findTrace(engine: Engine, { id, kind }: Order, target: string | null, signal: AbortSignal): Promise<Trace> {
	const made = kind === "container.create" ? await listContainers(engine, { label: [`${commandLabel}=${id}`] }, { signal }) : [];
	const containerId = made[0]?.Id ?? target;
	if (containerId === null) return undefined;
	try {
		const { Id, State } = await inspectContainer(engine, containerId, { signal });
		const startedAtMs = Date.parse(State.StartedAt);
		// Docker writes the year 1 for never.
		return { id: Id, running: State.Running, startedAtMs: startedAtMs > 0 ? startedAtMs : undefined };
	} catch (error) {
		if (error instanceof EngineError && error.code === "not_found") return undefined;
		throw error;
	}
}

async function awaitEngine({ docker, timers }: RunDeps, signal: AbortSignal): Promise<Connected | undefined> {
	for (let asked = 0; asked < engineWait.times; asked++) {
		try {
			return await docker.connect(signal);
		} catch {
			signal.throwIfAborted();
			if (!docker.wanted) return undefined;
			await new Promise<void>((resolve) => void timers.after(engineWait.everyMs, resolve));
		}
	}
	return undefined;
}

function wantsStart(params: unknown): boolean {
	return typeof params === "object" && params !== null && "start" in params && params.start === true;
}
