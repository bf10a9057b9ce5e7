import { expect, setDefaultTimeout, test } from "bun:test";
import { outputChunkBytesMax } from "../../src/protocol/commands.ts";
import { rawSocket } from "../conformance/raw-socket.ts";
import { scriptedWorker } from "../support/scripted-worker.ts";
import { act, newHost } from "./commands-support.ts";
import { type Bench, onEachRuntime } from "./support.ts";

// For hangs only: 100 MB go through PostgreSQL.
setDefaultTimeout(300_000);

const mebibyte = 1024 * 1024;
const chunks = Math.ceil((100 * mebibyte) / outputChunkBytesMax);
/** Chunks after which a server has the memory that it works in, its garbage included. */
const warm = 550;
/** What the other 75 MB may add at most; held in memory they would be several times that. */
const growthBytesMax = 96 * mebibyte;

onEachRuntime("a slow reader of a long output", (bench: Bench) => {
	async function rssBytes(): Promise<number> {
		const status = await Bun.file(`/proc/${bench.server.pid}/status`).text();
		return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1_024;
	}

	test("it gets all 100 MB in order, is not closed though it pauses, and server memory does not grow with them (H10)", async () => {
		const host = await newHost(bench);
		const worker = await scriptedWorker(bench.server, host);
		const { id } = await act(bench.server, "containerLogs", { hostId: host.hostId, container: "web", follow: true });
		await worker.told("ORDER", id);
		const data = new Uint8Array(outputChunkBytesMax).fill(97);
		let sent = 0;
		const sending = (async () => {
			const under = new Set<Promise<void>>();
			for (let sequence = 0; sequence < chunks; sequence++) {
				const one: Promise<void> = worker.output(id, sequence, data).then(() => {
					sent++;
					under.delete(one);
				});
				under.add(one);
				if (under.size >= 4) await Promise.race(under);
			}
			await Promise.all(under);
			await worker.report(id, "SUCCEEDED");
		})();
		const reader = await rawSocket({ port: Number(new URL(bench.server.url).port) });
		reader.send({ type: "connection_init", payload: { authorization: `Bearer ${bench.server.adminToken}` } });
		expect((await reader.next())["type"]).toBe("connection_ack");
		reader.send({ id: "1", type: "subscribe", payload: { query: `subscription { commandOutput(commandId: "${id}") { sequence data } }` } });
		let [before, growth] = [0, 0];
		let ahead = 0;
		for (let expected = 0; expected < chunks; expected++) {
			const message = (await reader.next()) as { payload?: { data?: { commandOutput?: { sequence: number; data: string } } } };
			const chunk = message.payload?.data?.commandOutput;
			if (chunk?.sequence !== expected) expect(chunk?.sequence ?? message).toBe(expected);
			if (expected % 100 === 50) {
				// Long enough for a worker that nobody held back to send all of it.
				reader.pause();
				for (let look = 0; look < 5; look++) {
					await new Promise((resolve) => setTimeout(resolve, 50));
					if (expected <= warm) before = Math.max(before, await rssBytes());
					else growth = Math.max(growth, (await rssBytes()) - before);
				}
				ahead = Math.max(ahead, sent - expected);
				reader.resume();
			}
		}
		await sending;
		expect((await reader.next())["type"]).toBe("complete");
		expect(growth).toBeLessThan(growthBytesMax);
		// A megabyte in the database, what is under way, and what the sockets hold: not the whole of it.
		expect(ahead).toBeLessThan(chunks / 4);
		reader.destroy();
		await worker.close();
	});
});
