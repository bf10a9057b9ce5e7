import { expect, test } from "bun:test";
import { EngineError } from "../../../src/engine/error.ts";
import { demultiplexer, type Output, readOutput } from "../../../src/engine/frames.ts";

function frame(kind: number, text: string): Uint8Array {
	const content = Buffer.from(text);
	const header = Buffer.alloc(8);
	header[0] = kind;
	header.writeUInt32BE(content.length, 4);
	return Buffer.concat([header, content]);
}

/** Neighbours of one stream joined: where a stream is cut says nothing. */
function joined(outputs: readonly Output[]): readonly (readonly [string, string])[] {
	const runs: [string, string][] = [];
	for (const { stream, data } of outputs) {
		const last = runs.at(-1);
		const text = Buffer.from(data).toString("latin1");
		if (last?.[0] === stream) last[1] += text;
		else runs.push([stream, text]);
	}
	return runs;
}

const wire = Buffer.concat([frame(1, "out\n"), frame(2, "err\n"), frame(1, ""), frame(0, "old"), frame(2, "x".repeat(300))]);
const content = [
	["STDOUT", "out\n"],
	["STDERR", "err\n"],
	["STDOUT", "old"],
	["STDERR", "x".repeat(300)],
] as const;

test("H10: output cut at any byte, and at every byte, is the same output", () => {
	for (let at = 0; at <= wire.length; at++) {
		const frames = demultiplexer();
		const outputs = [...frames.push(wire.subarray(0, at)), ...frames.push(wire.subarray(at))];
		frames.end();
		expect(joined(outputs)).toEqual(content);
	}
	const frames = demultiplexer();
	expect(joined([...wire].flatMap((byte) => frames.push(Uint8Array.of(byte))))).toEqual(content);
	frames.end();
});

test("H10: what has come of a frame is handed out at once: a frame of 4 GiB holds no memory", () => {
	const frames = demultiplexer();
	const header = Uint8Array.of(1, 0, 0, 0, 255, 255, 255, 255);
	expect(frames.push(header)).toEqual([]);
	expect(joined(frames.push(Buffer.from("begun")))).toEqual([["STDOUT", "begun"]]);
});

test("H10: a stream that is not framed, or ends inside a frame, is an error and not silently short", () => {
	expect(() => demultiplexer().push(Buffer.from("plain text"))).toThrow(EngineError);
	expect(() => demultiplexer().push(Uint8Array.of(1, 0, 1, 0, 0, 0, 0, 1))).toThrow(EngineError);
	for (const length of [1, 7, 8, 11]) {
		const frames = demultiplexer();
		frames.push(wire.subarray(0, length));
		expect(() => frames.end()).toThrow("inside a frame");
	}
});

test("H10: a terminal's output is taken as it is, whatever it looks like", async () => {
	async function* body() {
		yield wire;
		yield Buffer.from("plain");
	}
	expect(joined(await Array.fromAsync(readOutput(body(), true)))).toEqual([["STDOUT", `${wire.toString("latin1")}plain`]]);
	expect(joined(await Array.fromAsync(readOutput(wholeWire(), false)))).toEqual(content);
});

async function* wholeWire() {
	yield wire;
}
