import { join } from "node:path";
import * as v from "valibot";
import { exitCodes } from "../src/protocol/codes.ts";
import { type CommandKind, commandErrors, commandKinds } from "../src/protocol/commands.ts";
import { type Disk, replaceFile } from "./disk.ts";
import { Fatal, reasonOf } from "./fatal.ts";

const endSchema = v.object({
	state: v.picklist(["SUCCEEDED", "FAILED", "CANCELLED"]),
	result: v.optional(v.unknown()),
	error: v.optional(v.object({ code: v.picklist(commandErrors), message: v.string() })),
});
/** How a command ended. */
export type CommandEnd = v.InferOutput<typeof endSchema>;

const kinds = Object.keys(commandKinds) as [CommandKind, ...CommandKind[]];
const entrySchema = v.object({
	id: v.string(),
	/** Null: a command that never began, and of which no more is known. */
	kind: v.nullable(v.picklist(kinds)),
	/** Milliseconds since the epoch; null: it never began. */
	begunAtMs: v.nullable(v.number()),
	/** The id of the container it is about. */
	target: v.nullable(v.string()),
	end: v.nullable(endSchema),
	/** The server has taken the end in. */
	acknowledged: v.boolean(),
});
/** What is remembered of a command; its parameters are not, since they may hold secrets. */
export type JournalEntry = v.InferOutput<typeof entrySchema>;
const fileSchema = v.object({ version: v.literal(1), commands: v.array(entrySchema) });

/**
 * What this worker did of what it was told, so that nothing is done twice: every entry is durable before the call returns, but for
 * `acknowledge`, which is written with the next. All throw `Fatal` 73 when the disk refuses.
 */
export interface Journal {
	get(id: string): JournalEntry | undefined;
	/** Before anything is done. */
	begin(id: string, kind: CommandKind, target: string | null, nowMs: number): void;
	/** Once it is done; also of what never began. Kept in memory when the disk refuses. */
	end(id: string, kind: CommandKind | null, end: CommandEnd): void;
	acknowledge(id: string): void;
	/** Ends that the server has not taken in yet, oldest first. */
	unacknowledged(): readonly JournalEntry[];
}

/** Ends kept after the server took them in: an order may be on its way again at that moment. */
const acknowledgedMax = 128;
/** All entries; the oldest end goes first, then the oldest beginning that no server asks about any more. */
const entriesMax = 1_024;

/** Opens the journal of a state directory. Throws `Fatal` 74 when it cannot be read: without it commands might be done twice. */
export function openJournal(disk: Disk, stateDir: string): Journal {
	const path = join(stateDir, "commands.json");
	const entries = new Map(load(disk, path).map((entry) => [entry.id, entry]));

	function put(entry: JournalEntry): void {
		// The newest stands last.
		entries.delete(entry.id);
		entries.set(entry.id, entry);
		prune(entries);
		const commands = [...entries.values()];
		replaceFile(disk, path, `${JSON.stringify({ version: 1, commands })}\n`);
	}

	return {
		get: (id) => entries.get(id),
		begin: (id, kind, target, nowMs) => put({ id, kind, begunAtMs: nowMs, target, end: null, acknowledged: false }),
		end(id, kind, end) {
			const { begunAtMs = null, target = null } = entries.get(id) ?? {};
			put({ id, kind, begunAtMs, target, end, acknowledged: false });
		},
		acknowledge(id) {
			const entry = entries.get(id);
			// What it brought is no longer needed, and may be long.
			if (entry?.end) entries.set(id, { ...entry, end: { ...entry.end, result: undefined }, acknowledged: true });
		},
		unacknowledged: () => [...entries.values()].filter(({ end, acknowledged }) => end !== null && !acknowledged),
	};
}

function prune(entries: Map<string, JournalEntry>): void {
	const all = [...entries.values()];
	const known = all.filter(({ acknowledged }) => acknowledged);
	for (const { id } of known.slice(0, Math.max(0, known.length - acknowledgedMax))) entries.delete(id);
	const others = [...all.filter(({ end, acknowledged }) => end !== null && !acknowledged), ...all.filter(({ end }) => end === null)];
	for (const { id } of others.slice(0, Math.max(0, entries.size - entriesMax))) entries.delete(id);
}

function load(disk: Disk, path: string): readonly JournalEntry[] {
	try {
		const text = disk.read(path);
		return text === undefined ? [] : v.parse(fileSchema, JSON.parse(text)).commands;
	} catch (error) {
		throw new Fatal(exitCodes.ioError, `Cannot read "${path}": ${reasonOf(error)}; remove it, and look whether the last command was done`, {
			cause: error,
		});
	}
}
