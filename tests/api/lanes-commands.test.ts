/** The workers' command subscription runs in a lane of its own: nobody may be able to tell. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { rawSocket } from "../conformance/raw-socket.ts";
import { commandsDocument } from "../../src/protocol/commands.ts";
import { act, newHost } from "./commands-support.ts";
import { type Bench, onEachRuntime } from "./support.ts";

// For hangs only.
setDefaultTimeout(60_000);

/** One blank more is another text, so it takes the general pipeline, and asks for the very same. */
const lanes = [commandsDocument, `${commandsDocument} `] as const;

onEachRuntime("the lane of command subscriptions", (bench: Bench) => {
	/** What the subscription's first message is. */
	async function first(login: object, query: string, more: object = {}): Promise<string> {
		const socket = await rawSocket({ port: Number(new URL(bench.server.url).port) });
		socket.send({ type: "connection_init", payload: login });
		expect(await socket.next()).toEqual({ type: "connection_ack" });
		socket.send({ id: "7", type: "subscribe", payload: { query, ...more } });
		const message = await socket.next();
		socket.destroy();
		return JSON.stringify(message);
	}

	test("an order is the same, byte for byte, in the known words and in others (G7)", async () => {
		const { hostId, workerId, apiKey } = await newHost(bench);
		const { id } = await act(bench.server, "inspectContainer", { hostId, container: "web" });
		const [known, general] = [await first({ workerId, apiKey }, lanes[0]), await first({ workerId, apiKey }, lanes[1])];
		expect(known).toContain(id);
		expect(known).toBe(general);
	});

	test("a refusal is the same in the known words and in others: who is no worker, an operation that is not there (G7)", async () => {
		const operator = { authorization: `Bearer ${bench.server.adminToken}` };
		for (const [login, more] of [
			[operator, {}],
			[{}, {}],
			[operator, { operationName: "Other" }],
		] as const) {
			const [known, general] = [await first(login, lanes[0], more), await first(login, lanes[1], more)];
			expect(known).toContain('"message"');
			expect(masked(known)).toBe(masked(general));
		}
	});
});

/** Every refusal has a request id of its own. */
function masked(text: string): string {
	return text.replace(/"requestId":"[^"]*"/, '"requestId":""');
}
