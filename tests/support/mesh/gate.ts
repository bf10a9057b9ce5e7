/** What stands between a server and its Headscale in the tests: it can be shut, it can hold a mint back, and it can lose an answer after it was made. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { until } from "../until.ts";

export interface Gate {
	readonly url: string;
	/** Nothing answers any more; what is under way is cut off. */
	shut(): Promise<void>;
	/** Answers again, at the same address. */
	open(): Promise<void>;
	/** Holds mints back before they reach Headscale; resolves `arrived` when so many wait. */
	hold(): { arrived(count: number): Promise<unknown>; release(): void };
	/** The next mint is made, and its answer lost: the connection ends, or (`hang`) nothing ever comes. */
	loseAnswer(how: "cut" | "hang"): void;
	/** How many mints went through to Headscale. */
	readonly mints: () => number;
}

/** Opens one before a Headscale. Close it with `shut`. */
export async function openGate(target: string): Promise<Gate> {
	let lose: "cut" | "hang" | undefined;
	let waiting: (() => void)[] | undefined;
	let mints = 0;

	async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
		const chunks: Buffer[] = [];
		for await (const chunk of request) chunks.push(chunk as Buffer);
		const isMint = request.method === "POST" && request.url === "/api/v1/preauthkey";
		if (isMint && waiting !== undefined) {
			const { promise, resolve } = Promise.withResolvers<void>();
			waiting.push(resolve);
			await promise;
		}
		const headers: Record<string, string> = {};
		for (const name of ["authorization", "content-type", "accept"]) {
			const value = request.headers[name];
			if (typeof value === "string") headers[name] = value;
		}
		const reply = await fetch(`${target}${request.url}`, {
			method: request.method ?? "GET",
			headers,
			...(chunks.length === 0 ? {} : { body: Buffer.concat(chunks).toString("utf8") }),
		});
		const body = await reply.text();
		if (isMint) mints++;
		const lost = isMint ? lose : undefined;
		if (lost !== undefined) lose = undefined;
		if (lost === "hang") return;
		if (lost === "cut") return void response.destroy();
		response.writeHead(reply.status, { "content-type": reply.headers.get("content-type") ?? "text/plain" }).end(body);
	}

	const server = createServer((request, response) => {
		handle(request, response).catch(() => response.destroy());
	});
	// Somebody else's connection may have the port for a moment, once it was let go.
	const listen = (port: number) =>
		until(`port ${port} is free`, () =>
			new Promise<boolean>((resolve) => {
				server.once("error", () => resolve(false));
				server.listen(port, "127.0.0.1", () => resolve(true));
			}).finally(() => server.removeAllListeners("error")),
		);
	await listen(0);
	const { port } = server.address() as AddressInfo;
	return {
		url: `http://127.0.0.1:${port}`,
		async shut() {
			if (!server.listening) return;
			server.closeAllConnections();
			await new Promise((resolve) => server.close(resolve));
		},
		async open() {
			await listen(port);
		},
		hold() {
			const held: (() => void)[] = [];
			waiting = held;
			return {
				arrived: (count) => until(`${count} mint(s) wait at the gate`, () => held.length >= count),
				release() {
					waiting = undefined;
					for (const go of held) go();
				},
			};
		},
		loseAnswer(how) {
			lose = how;
		},
		mints: () => mints,
	};
}
