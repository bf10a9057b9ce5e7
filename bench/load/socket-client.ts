/**
 * Holds thousands of graphql-transport-ws sockets open in a process of its own. Commands come as lines of JSON on stdin, each is answered with
 * a line on stdout: `open` sockets, `beat` in a closed loop, `subscribe`, `expect` one message on each.
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { percentile } from "../figures.ts";

interface Command {
	readonly do: "open" | "beat" | "subscribe" | "expect";
	readonly url?: string;
	/** What each socket says of itself with `connection_init`. */
	readonly logins?: readonly object[];
	/** With `open`: what each subscribes to as soon as it is let in. */
	readonly query?: string;
	readonly sockets?: number;
	readonly seconds?: number;
}

const sockets: WebSocket[] = [];
let onText: (index: number, text: string) => void = () => {};

/** As clients of graphql-ws number their operations: none has the id of another. */
const subscribing = (query: string) => JSON.stringify({ id: crypto.randomUUID(), type: "subscribe", payload: { query } });

function open(url: string, login: object, index: number, query: string | undefined): Promise<void> {
	return new Promise((resolve, reject) => {
		// Each is a client of its own behind a proxy: a server bounds the sockets of one address.
		const options = { protocols: ["graphql-transport-ws"], headers: { "x-forwarded-for": `10.1.${index >> 8}.${index & 255}` } };
		const socket = Reflect.construct(WebSocket, [url, options]) as WebSocket;
		sockets[index] = socket;
		socket.onopen = () => socket.send(JSON.stringify({ type: "connection_init", payload: login }));
		socket.onclose = ({ code, reason }) => reject(new Error(`Socket ${index} closed: ${code} ${reason}`));
		socket.onmessage = () => {
			socket.onmessage = ({ data }) => onText(index, String(data));
			if (query !== undefined) socket.send(subscribing(query));
			resolve();
		};
	});
}

async function openAll(url: string, logins: readonly object[], query: string | undefined): Promise<number> {
	for (let index = 0; index < logins.length; index += 64) {
		await Promise.all(logins.slice(index, index + 64).map((login, offset) => open(url, login, index + offset, query)));
	}
	return logins.length;
}

/** So many of the sockets send a beat, wait for its end, send the next. */
async function beat(query: string, count: number, seconds: number): Promise<object> {
	const latencies: number[] = [];
	const sentAt: number[] = [];
	let running = true;
	const text = JSON.stringify({
		id: "1",
		type: "subscribe",
		payload: { query, variables: { input: { sequence: 1, load1: 0.5, memoryUsedBytes: 1e9, uptimeSeconds: 1e5 } } },
	});
	const send = (index: number) => {
		sentAt[index] = performance.now();
		sockets[index]?.send(text);
	};
	onText = (index, reply) => {
		if (reply.includes('"errors"') || reply.includes('"type":"error"')) throw new Error(reply);
		if (!reply.includes('"type":"complete"')) return;
		latencies.push(performance.now() - (sentAt[index] ?? 0));
		if (running) send(index);
	};
	const [cpu, began] = [process.cpuUsage(), performance.now()];
	for (let index = 0; index < count; index++) send(index);
	await new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
	running = false;
	const done = latencies.length;
	const elapsed = (performance.now() - began) / 1_000;
	const spent = process.cpuUsage(cpu);
	await new Promise((resolve) => setTimeout(resolve, 300));
	latencies.sort((left, right) => left - right);
	return {
		perSecond: done / elapsed,
		answers: done,
		p50: percentile(latencies, 0.5),
		p99: percentile(latencies, 0.99),
		cpuShare: (spent.user + spent.system) / 1e6 / elapsed,
	};
}

let settled = () => {};
/** When the messages of one event came, in their order. */
let arrivals: number[] = [];

async function run(command: Command): Promise<object> {
	switch (command.do) {
		case "open":
			return { opened: await openAll(command.url ?? "", command.logins ?? [], command.query) };
		case "beat":
			return beat(command.query ?? "", command.sockets ?? sockets.length, command.seconds ?? 3);
		case "subscribe":
			onText = () => {
				arrivals.push(performance.timeOrigin + performance.now());
				if (arrivals.length >= sockets.length) settled();
			};
			for (const socket of sockets) socket.send(subscribing(command.query ?? ""));
			return {};
		case "expect": {
			arrivals = [];
			const all = new Promise<void>((resolve) => {
				settled = resolve;
			});
			process.stdout.write('{"ready":true}\n');
			const timer = setTimeout(() => settled(), (command.seconds ?? 30) * 1_000);
			await all;
			clearTimeout(timer);
			return { received: arrivals.length, firstAt: arrivals[0], p99At: percentile(arrivals, 0.99), lastAt: arrivals.at(-1) };
		}
	}
}

for await (const line of createInterface({ input: process.stdin })) {
	process.stdout.write(`${JSON.stringify(await run(JSON.parse(line) as Command))}\n`);
}
process.exit(0);
