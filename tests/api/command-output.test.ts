import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { outputChunkBytesMax } from "../../src/protocol/commands.ts";
import { asAdmin } from "../support/muster.ts";
import { rowCount } from "../support/pipeline.ts";
import { scriptedWorker } from "../support/scripted-worker.ts";
import { until } from "../support/until.ts";
import { act, becomes, cancel, newHost, readOutput, textOf } from "./commands-support.ts";
import { type Bench, metric, onEachRuntime } from "./support.ts";

// For hangs only.
setDefaultTimeout(60_000);

const full = new Uint8Array(outputChunkBytesMax).fill(120);

onEachRuntime(
	"command output",
	(bench: Bench) => {
		/** A host whose worker was given a command, its reader not there yet. */
		async function given(name = "containerLogs", more: object = {}, state = "FUSED") {
			const host = await newHost(bench, state);
			const worker = await scriptedWorker(bench.server, host);
			const target = name === "pullImage" ? { image: "redis" } : { container: "web" };
			const { id } = await act(bench.server, name, { hostId: host.hostId, ...target, ...more });
			await worker.told("ORDER", id);
			return { host, worker, id: String(id) };
		}
		const buffered = (id: string) => rowCount(bench.database.db, "command_output", `command_id = '${id}'`);

		test("what comes before and after a reader attaches reaches it in order, bytes and text, and the command's end ends it (H10)", async () => {
			const { worker, id } = await given();
			const euro = Buffer.from("€");
			await worker.output(id, 0, "before ");
			await worker.output(id, 1, euro.subarray(0, 1));
			const reading = readOutput(bench.server, id);
			await until("the first chunks", () => reading.chunks.length === 2);
			await worker.output(id, 2, "to stderr", "STDERR");
			await worker.output(id, 3, Buffer.concat([euro.subarray(1), Buffer.from([0, 255])]));
			await worker.report(id, "SUCCEEDED");
			await until("the end", () => reading.done.is);
			expect(reading.errors).toEqual([]);
			expect(reading.chunks.map(({ sequence }) => sequence)).toEqual([0, 1, 2, 3]);
			expect(textOf(reading)).toBe("before €\0\ufffd");
			expect(textOf(reading, "STDERR")).toBe("to stderr");
			expect(
				Buffer.concat(reading.chunks.filter(({ stream }) => stream === "STDOUT").map(({ data }) => Buffer.from(data, "base64"))),
			).toEqual(Buffer.from([...Buffer.from("before €"), 0, 255]));
			expect(await buffered(id)).toBe(0);
			await Promise.all([reading.stop(), worker.close()]);
		});

		test("chunks that arrive out of order are passed on in order, and one that is sent again once", async () => {
			const { worker, id } = await given();
			const reading = readOutput(bench.server, id);
			for (const sequence of [1, 3, 2, 2]) await worker.output(id, sequence, String(sequence));
			await worker.output(id, 0, "0");
			await until("all of them", () => reading.chunks.length === 4);
			for (const sequence of [0, 3]) expect(await worker.output(id, sequence, "again")).toBe(true);
			await worker.output(id, 4, "4");
			await worker.report(id, "SUCCEEDED");
			await until("the end", () => reading.done.is);
			expect(textOf(reading)).toBe("01234");
			await Promise.all([reading.stop(), worker.close()]);
		});

		test("of a command that ended before anybody read, what waited is there to read", async () => {
			const { worker, id } = await given();
			await worker.output(id, 0, "it is all here");
			await worker.report(id, "SUCCEEDED");
			const reading = readOutput(bench.server, id);
			await until("the end", () => reading.done.is);
			expect(textOf(reading)).toBe("it is all here");
			await Promise.all([reading.stop(), worker.close()]);
		});

		test("when nobody reads, a megabyte is taken and the worker waits; a reader lets it go on, and nothing is lost", async () => {
			const { worker, id } = await given();
			let answered = 0;
			const count = 40;
			const sending = (async () => {
				const under = new Set<Promise<void>>();
				for (let sequence = 0; sequence < count; sequence++) {
					const one: Promise<void> = worker.output(id, sequence, full).then(() => {
						answered++;
						under.delete(one);
					});
					under.add(one);
					if (under.size >= 4) await Promise.race(under);
				}
				await Promise.all(under);
			})();
			await until("the worker waits", async () => (await metric(bench.server, "muster_command_output_waits_total")) > 0);
			const least = Math.floor((1024 * 1024) / outputChunkBytesMax);
			await until("the room is taken", async () => (await buffered(id)) >= least);
			expect(answered).toBeLessThanOrEqual(least + 3);
			const reading = readOutput(bench.server, id);
			await sending;
			await worker.report(id, "SUCCEEDED");
			await until("the end", () => reading.done.is);
			expect(reading.errors).toEqual([]);
			expect(reading.chunks.map(({ sequence }) => sequence)).toEqual(Array.from({ length: count }, (_, index) => index));
			await Promise.all([reading.stop(), worker.close()]);
		});

		test("a change does not wait for a reader: of its output the newest is kept", async () => {
			const { worker, id } = await given("pullImage");
			const count = 40;
			for (let sequence = 0; sequence < count; sequence++) expect(await worker.output(id, sequence, full)).toBe(true);
			await worker.report(id, "SUCCEEDED");
			const reading = readOutput(bench.server, id);
			await until("the end", () => reading.done.is);
			const sequences = reading.chunks.map(({ sequence }) => sequence);
			expect(sequences[0]).toBeGreaterThan(0);
			expect(sequences.at(-1)).toBe(count - 1);
			await Promise.all([reading.stop(), worker.close()]);
		});

		describe("one reader", () => {
			test("a second one is refused while there is one, and may read once it has left", async () => {
				const { worker, id } = await given();
				const first = readOutput(bench.server, id);
				await worker.output(id, 0, "a");
				await until("the first reads", () => first.chunks.length === 1);
				const second = readOutput(bench.server, id);
				await until("the second is refused", () => second.errors.length === 1);
				expect(second.errors[0]).toContain("CONFLICT");
				await first.stop();
				await until(
					"the claim is free",
					async () => (await rowCount(bench.database.db, "commands", `id = '${id}' and reader is null`)) === 1,
				);
				const third = readOutput(bench.server, id);
				await worker.output(id, 1, "b");
				await until("the third reads", () => textOf(third).endsWith("b"));
				await Promise.all([second.stop(), third.stop(), worker.close()]);
			});

			test.each([
				["containerLogs", { follow: true }],
				["execContainer", { command: ["sh"], stdin: true }],
			] as const)("when the reader of %s %p leaves, the worker is told to end it, and no output is wanted any more", async (name, more) => {
				const { worker, id } = await given(name, more);
				const reading = readOutput(bench.server, id);
				await worker.output(id, 0, "a");
				await until("it reads", () => reading.chunks.length === 1);
				await reading.stop();
				await worker.told("CANCEL", id);
				expect(await worker.output(id, 1, "b")).toBe(false);
				await worker.report(id, "CANCELLED");
				await becomes(bench.server, id, "CANCELLED");
				await worker.close();
			});
		});

		test("a worker that waits for room is let go when the command is cancelled", async () => {
			const { worker, id } = await given();
			for (let sequence = 0; sequence < 21; sequence++) await worker.output(id, sequence, full);
			const waiting = worker.output(id, 21, full);
			await cancel(bench.server, id);
			expect(await waiting).toBe(false);
			await worker.close();
		});

		test.each([
			["data", { data: "%%%" }, "must be base64"],
			["a chunk that is too large", { data: Buffer.alloc(outputChunkBytesMax + 1).toString("base64") }, "at most 49152 bytes"],
			["a sequence", { sequence: -1 }, "must not be negative"],
		])("%s that is none is refused", async (_, wrong, message) => {
			const { worker, id } = await given();
			const query = "mutation ($input: CommandOutputInput!) { sendCommandOutput(input: $input) { wanted } }";
			const input = { commandId: id, sequence: 0, stream: "STDOUT", data: "", ...wrong };
			expect(await worker.ask(query, input).catch(String)).toContain(message);
			await worker.close();
		});

		describe("input", () => {
			const send = (commandId: string, data: string, end = false) =>
				asAdmin(
					bench.server,
					"mutation ($commandId: ID!, $data: String!, $end: Boolean) { sendCommandInput(commandId: $commandId, data: $data, end: $end) { command { id } } }",
					{ commandId, data: Buffer.from(data).toString("base64"), end },
				);

			test("what is sent reaches the worker in order, once, with its end (H10)", async () => {
				const { worker, id } = await given("execContainer", { command: ["sh"], stdin: true });
				const lines = Array.from({ length: 40 }, (_, index) => `line ${index}\n`);
				for (const line of lines) await send(id, line);
				await send(id, "", true);
				await until("the end of it", () => worker.frames.some(({ type, end }) => type === "INPUT" && end === true));
				const inputs = worker.frames.filter(({ type }) => type === "INPUT");
				expect(Buffer.concat(inputs.map(({ data }) => Buffer.from(data ?? "", "base64"))).toString()).toBe(lines.join(""));
				expect(inputs.map(({ end }) => end).slice(0, -1)).not.toContain(true);
				await worker.close();
			});

			test("what a worker does not take is bounded: a megabyte waits, more is refused with the remedy", async () => {
				const { host, worker, id } = await given("execContainer", { command: ["sh"], stdin: true });
				await worker.close();
				const sent = Array.from({ length: 24 }, () => "x".repeat(outputChunkBytesMax));
				let refusal = "";
				for (const data of sent) refusal ||= await send(id, data).then(() => "", String);
				expect(refusal).toContain("send it again later");
				const again = await scriptedWorker(bench.server, host);
				await until("it is taken", () => again.frames.filter(({ type }) => type === "INPUT").length === 21);
				await again.close();
			});

			test("a command that takes none refuses it", async () => {
				const { worker, id } = await given();
				expect(await send(id, "x").catch(String)).toContain("it takes none");
				await worker.close();
			});
		});
	},
	{ MUSTER_STALE_SECONDS: "60" },
);
