import { expect, test } from "bun:test";
import { type CommandOutputChunk, outputChunkBytesMax, outputChunksInFlight } from "../../../src/protocol/commands.ts";
import { commandInput } from "../../../worker/commands-input.ts";
import { outputSender } from "../../../worker/commands-output.ts";
import { settle } from "./fake-time.ts";

/** A server that answers when told to. */
function played() {
	const chunks: CommandOutputChunk[] = [];
	const waiting: ((wanted: boolean) => void)[] = [];
	let unwanted = 0;
	const sender = outputSender(
		"c",
		(chunk) => {
			chunks.push(chunk);
			return new Promise((resolve) => void waiting.push(resolve));
		},
		() => {
			unwanted += 1;
		},
	);
	const answer = async (wanted = true) => {
		waiting.shift()?.(wanted);
		await settle();
	};
	return { chunks, sender, answer, unwanted: () => unwanted, waiting };
}
const out = (text: string) => ({ stream: "STDOUT", data: Buffer.from(text) }) as const;
const texts = (chunks: readonly CommandOutputChunk[]) => chunks.map(({ data }) => Buffer.from(data, "base64").toString());

test("H10: no more than so many chunks are on their way, and who writes waits for the reader", async () => {
	const { chunks, sender, answer } = played();
	let written = false;
	const writing = sender.write(out("x".repeat(outputChunkBytesMax * (outputChunksInFlight + 3)))).then(() => {
		written = true;
	});
	await settle();
	expect([chunks.length, written]).toEqual([outputChunksInFlight, false]);
	await answer();
	expect([chunks.length, written]).toEqual([outputChunksInFlight + 1, false]);
	for (let count = 0; count < 3; count++) await answer();
	await writing;
	expect(chunks.map(({ sequence }) => sequence)).toEqual(chunks.map((_, index) => index));
	expect(Math.max(...texts(chunks).map((text) => text.length))).toBe(outputChunkBytesMax);
});

test("H10: small pieces go at once while there is room, together while there is none, and the streams stay apart and in order", async () => {
	const { chunks, sender, answer } = played();
	for (const text of ["1", "2", "3", "4", "5", "6"]) await sender.write(out(text));
	expect(texts(chunks)).toEqual(["1", "2", "3", "4"]);
	await answer();
	expect(texts(chunks)).toEqual(["1", "2", "3", "4", "56"]);
	await answer();
	await sender.write({ stream: "STDERR", data: Buffer.from("e") });
	await answer();
	await sender.write(out("7"));
	const finished = sender.finish();
	for (let count = 0; count < 6; count++) await answer();
	await finished;
	expect(chunks.map(({ stream }, index) => `${stream}:${texts(chunks)[index]}`).slice(4)).toEqual(["STDOUT:56", "STDERR:e", "STDOUT:7"]);
});

test("H10: output that nobody wants ends the command once, and what follows is dropped", async () => {
	const { chunks, sender, answer, unwanted } = played();
	await sender.write(out("1"));
	await sender.write(out("2"));
	await answer(false);
	await answer(false);
	await sender.write(out("x".repeat(outputChunkBytesMax * 10)));
	await sender.finish();
	expect([texts(chunks), unwanted()]).toEqual([["1", "2"], 1]);
});

test("H10: input waits for a command that is slow to read, up to a bound: a part of it is never left out", async () => {
	const input = commandInput();
	const block = new Uint8Array(1_048_576);
	expect([1, 2, 3, 4, 5].map(() => input.push(block))).toEqual([true, true, true, true, false]);
	input.end();
	expect((await Array.fromAsync(input)).length).toBe(4);
});
