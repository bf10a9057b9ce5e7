import { describe, expect, test } from "bun:test";
import { type CommandEvent, commandEvents, transition } from "../../../src/commands/lifecycle.ts";
import { type CommandState, commandStates } from "../../../src/protocol/commands.ts";

const no = undefined;
const table: Readonly<Record<CommandState, Readonly<Record<CommandEvent, CommandState | undefined>>>> = {
	QUEUED: { start: "RUNNING", succeed: "SUCCEEDED", fail: "FAILED", cancel: "CANCELLED", expire: "EXPIRED" },
	RUNNING: { start: no, succeed: "SUCCEEDED", fail: "FAILED", cancel: "CANCELLED", expire: "EXPIRED" },
	SUCCEEDED: { start: no, succeed: no, fail: no, cancel: no, expire: no },
	FAILED: { start: no, succeed: no, fail: no, cancel: no, expire: no },
	CANCELLED: { start: no, succeed: no, fail: no, cancel: no, expire: no },
	EXPIRED: { start: no, succeed: no, fail: no, cancel: no, expire: no },
};

describe("a command's life (H12, H13): what has ended stays as it ended first", () => {
	test.each(commandStates.flatMap((state) => commandEvents.map((event) => [state, event] as const)))("%s, %s", (state, event) => {
		expect(transition(state, event)).toBe(table[state][event]);
	});
});
