import { expect, test } from "bun:test";
import { type CommandKind, commandKinds } from "../../../src/protocol/commands.ts";
import { decide, type Trace } from "../../../worker/commands-decide.ts";

const begunAtMs = 1_000;
const id = "c1";
const before = 900;
const since = 1_100;
const traces = {
	"no container": undefined,
	"one never started": { id, running: false, startedAtMs: undefined },
	"one that runs since before": { id, running: true, startedAtMs: before },
	"one that runs since then": { id, running: true, startedAtMs: since },
	"one that ended, started before": { id, running: false, startedAtMs: before },
	"one that ended, started since": { id, running: false, startedAtMs: since },
} as const satisfies Record<string, Trace>;

const done = { kind: "done", containerId: id } as const;
const repeat = { kind: "repeat" } as const;
const table: Partial<Record<CommandKind, readonly object[]>> = {
	"container.create": [repeat, { kind: "start", containerId: id }, done, done, done, done],
	"container.start": [repeat, repeat, done, done, repeat, done],
	"container.stop": [repeat, done, repeat, done, done, done],
	"container.restart": [repeat, repeat, repeat, done, repeat, done],
	"container.remove": [{ kind: "done", containerId: id }, repeat, repeat, repeat, repeat, repeat],
};

const rows = Object.entries(table).flatMap(([kind, decisions]) =>
	Object.entries(traces).map(([what, trace], index) => [kind as CommandKind, what, trace, decisions[index]] as const),
);

test.each(rows)("H12: %s was begun by a worker that died; there is %s: what was done is not done again", (kind, _what, trace, decision) => {
	expect(decide({ kind, begunAtMs, end: null }, trace, id)).toEqual(decision as never);
});

const interrupted: readonly CommandKind[] = ["container.exec", "container.logs"];
const kinds = (Object.keys(commandKinds) as CommandKind[]).filter((kind) => !(kind in table));

test.each(kinds)("H12: %s that was begun is done again only where that comes to the same", (kind) => {
	const kindOf = interrupted.includes(kind) ? "interrupted" : "repeat";
	for (const trace of Object.values(traces)) expect(decide({ kind, begunAtMs, end: null }, trace, id).kind).toBe(kindOf);
});

test.each(Object.keys(commandKinds) as CommandKind[])("H12: %s that has ended is reported as it ended, whatever is there now", (kind) => {
	const end = { state: "FAILED", error: { code: "conflict", message: "in use" } } as const;
	for (const trace of Object.values(traces)) expect(decide({ kind, begunAtMs, end }, trace, id)).toEqual({ kind: "report", end });
});
