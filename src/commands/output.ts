import { clearInterval, setInterval } from "node:timers";
import * as v from "valibot";
import type { OperatorPrincipal, WorkerPrincipal } from "../auth/principal.ts";
import type { Deps } from "../deps.ts";
import { MusterError, notFound } from "../errors.ts";
import { parseInput } from "../input.ts";
import { type LeaveSignal, neverLeaves } from "../lib/leaving.ts";
import { outputChunkBytesMax } from "../protocol/commands.ts";
import { needRole } from "./actions.ts";
import { base64Bytes } from "./base64.ts";
import { cancelCommand } from "./commands.ts";
import type { CommandHub } from "./hub.ts";
import { inOrder } from "./in-order.ts";
import { type Chunk, claimReader, dropOldest, passChunks, readChunks, releaseReader, renewReader, storeChunk } from "./output-store.ts";
import { commandsByIds } from "./store.ts";

/** Output of one command that waits for its reader: enough for a second of a fast reader. Tiny chunks are bounded by their number. */
const room = { bytes: 1024 * 1024, chunks: 256 };
/** Chunks given up at once when there is no reader to wait for. */
const droppedAtOnce = 8;
/** How long a chunk may wait for room before its worker is to send it again: shorter than what proxies allow a request. */
const waitMsMax = 25_000;
/** Chunks a reader takes at a time: with 48 KiB each less than half a megabyte in memory. */
const readMax = 8;
const renewMs = 10_000;
/** A chunk that is missing for so long was lost when PostgreSQL crashed: a worker sends again within half of it. */
const gapMsMax = 60_000;

const chunkSchema = v.object({
	commandId: v.string(),
	sequence: v.pipe(v.number(), v.integer("must be a whole number"), v.minValue(0, "must not be negative")),
	stream: v.picklist(["STDOUT", "STDERR"]),
	data: base64Bytes(outputChunkBytesMax),
});

/**
 * Takes a chunk of output from a command's worker, and answers when it is stored: while there is no room the worker waits, and Docker with it. `wanted:
 * false` when the command has ended or is to end. SERVICE_UNAVAILABLE when nobody made room for 25 s: send it again, it is stored once.
 */
export async function takeOutput(
	deps: Deps,
	hub: CommandHub,
	worker: Pick<WorkerPrincipal, "tenantId" | "workerId">,
	raw: unknown,
): Promise<{ readonly wanted: boolean }> {
	const { commandId, ...chunk } = parseInput("take the output", chunkSchema, raw);
	const { tenantId, workerId } = worker;
	const { sql } = deps.db;
	const end = deps.clock.monotonic() + waitMsMax;
	const bell = hub.bell("r", commandId, tenantId);
	try {
		for (let waited = false; ; waited = true) {
			const outcome = await storeChunk(sql, { tenantId, workerId, commandId }, chunk, room);
			if (outcome === "gone") return { wanted: false };
			if (outcome === "stored") {
				deps.metrics.commandOutput(chunk.data.length);
				return { wanted: true };
			}
			if ((await dropOldest(sql, tenantId, commandId, droppedAtOnce)) > 0) continue;
			if (!waited) deps.metrics.commandOutputWait();
			const leftMs = end - deps.clock.monotonic();
			if (leftMs <= 0)
				throw new MusterError(
					"SERVICE_UNAVAILABLE",
					`Nobody has read the output of command "${commandId}" for a while: send the chunk again`,
				);
			await bell.wait(neverLeaves, leftMs);
		}
	} finally {
		bell.close();
	}
}

/** A chunk on its way to its reader. */
export interface CommandOutput extends Chunk {
	/** The bytes as UTF-8; a character that two chunks share stands in the second. */
	readonly text: string;
}

/** What a reader of output needs of its operation. */
export interface OutputReader {
	readonly deps: Deps;
	readonly commands: CommandHub;
	readonly signal: LeaveSignal;
	/** Throws when the operator's token has ended. */
	readonly as: (role: "operator") => OperatorPrincipal;
}

/**
 * A command's output as it comes, to its one reader, until the command has ended and all of it was passed on. It is read from the database only as
 * fast as the reader takes it, so a slow one holds back the worker instead of filling memory, and never falls behind. CONFLICT while another reader's claim
 * holds. What only lives for its reader (followed logs, an interactive exec) is cancelled when the reader leaves. At least once: what was on its way
 * when a reader was lost comes again to the next.
 */
export async function* outputOf(reader: OutputReader, commandId: string): AsyncGenerator<CommandOutput> {
	const { deps, signal } = reader;
	const { sql } = deps.db;
	const operator = reader.as("operator");
	const { tenantId } = operator;
	const [command] = await commandsByIds(sql, tenantId, [commandId]);
	if (command === undefined) throw notFound("command", commandId);
	needRole(operator, command.kind);
	const name = Buffer.from(deps.random.bytes(16)).toString("hex");
	const from = await claimReader(sql, tenantId, commandId, name);
	if (from === undefined)
		throw new MusterError("CONFLICT", `The output of command "${commandId}" is being read already: it has one reader, end that first`);
	const bell = reader.commands.bell("o", commandId, tenantId);
	let isOurs = true;
	const renewal = setInterval(() => {
		renewReader(sql, tenantId, commandId, name).then(
			(held) => {
				isOurs &&= held;
			},
			(error: unknown) => deps.log.warn("commands.reader_failed", { error }),
		);
	}, renewMs);
	const decoders = { STDOUT: new TextDecoder(), STDERR: new TextDecoder() };
	let next = from;
	let passed = from;
	let waitsSince = deps.clock.monotonic();
	deps.metrics.subscribers(1);
	try {
		while (!signal.aborted) {
			reader.as("operator");
			if (!isOurs) throw new MusterError("CONFLICT", `Another reader took over the output of command "${commandId}"`);
			// Looked at before the chunks: none comes after the end.
			const [now] = await commandsByIds(sql, tenantId, [commandId]);
			const isEnded = now === undefined || now.endedAt !== null;
			const stored = await readChunks(sql, tenantId, commandId, readMax);
			const ready = inOrder(stored, next, isEnded || deps.clock.monotonic() - waitsSince > gapMsMax);
			for (const chunk of ready) {
				next = chunk.sequence + 1;
				yield { ...chunk, text: decoders[chunk.stream].decode(chunk.data, { stream: true }) };
				// The reader asks for more: it has this one.
				passed = next;
			}
			// Only a chunk that others overtook is waited for.
			if (ready.length > 0 || stored.length === 0) waitsSince = deps.clock.monotonic();
			if (ready.length > 0) await passChunks(sql, tenantId, commandId, passed);
			else if (isEnded) return;
			else await bell.wait(signal);
		}
	} finally {
		clearInterval(renewal);
		bell.close();
		deps.metrics.subscribers(-1);
		await leave(deps, operator, commandId, name, passed).catch((error: unknown) => deps.log.warn("commands.reader_left", { error }));
	}
}

async function leave(deps: Deps, { tenantId, actor }: OperatorPrincipal, commandId: string, name: string, passed: number): Promise<void> {
	const { sql } = deps.db;
	await passChunks(sql, tenantId, commandId, passed);
	// Whoever took over reads on.
	if (!(await releaseReader(sql, tenantId, commandId, name))) return;
	const [command] = await commandsByIds(sql, tenantId, [commandId]);
	if (command?.follows === true && command.endedAt === null)
		await deps.db.tx((tx) => cancelCommand(deps, tx, { tenantId, id: commandId, actor }));
}
