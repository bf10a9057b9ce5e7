/** A scripted worker: a real socket client that speaks a worker's documents, and does what the test says. */
import { createClient } from "graphql-ws/client";
import * as v from "valibot";
import {
	type CommandFrame,
	commandFrame,
	commandsDocument,
	reportCommandDocument,
	sendOutputDocument,
} from "../../src/protocol/commands.ts";
import { until } from "./until.ts";

export interface ScriptedWorker {
	/** All it was told on this connection. */
	readonly frames: readonly CommandFrame[];
	/** Why its subscription ended, when it did. */
	readonly ended: readonly string[];
	/** Waits for a frame of this type about this command. */
	told(type: CommandFrame["type"], commandId: string): Promise<CommandFrame>;
	/** One of its documents; throws what the server refuses. */
	ask(query: string, input: unknown): Promise<Record<string, Record<string, unknown>>>;
	/** Reports, and returns the state that stands. */
	report(commandId: string, state: string, more?: object): Promise<string>;
	/** Sends output, and returns whether more is wanted. */
	output(commandId: string, sequence: number, data: string | Uint8Array, stream?: string): Promise<boolean>;
	close(): Promise<void>;
}

/** Connects to a server with what the worker got when it enrolled, and subscribes to its orders. */
export async function scriptedWorker(
	server: { readonly url: string },
	identity: { readonly workerId: string; readonly apiKey: string },
): Promise<ScriptedWorker> {
	const frames: CommandFrame[] = [];
	const ended: string[] = [];
	const client = createClient({
		url: `${server.url.replace("http", "ws")}/graphql`,
		webSocketImpl: WebSocket,
		retryAttempts: 0,
		connectionParams: { workerId: identity.workerId, apiKey: identity.apiKey },
	});
	client.subscribe(
		{ query: commandsDocument },
		{
			next({ data, errors }) {
				if (errors !== undefined) ended.push(JSON.stringify(errors));
				else frames.push(v.parse(v.object({ commands: commandFrame }), data).commands);
			},
			error: (error) => void ended.push(JSON.stringify(error)),
			complete: () => void ended.push("complete"),
		},
	);
	const ask = (query: string, input: unknown) =>
		new Promise<Record<string, Record<string, unknown>>>((resolve, reject) => {
			let answer: unknown;
			client.subscribe(
				{ query, variables: { input } },
				{
					next({ data, errors }) {
						if (errors === undefined) answer = data;
						else reject(new Error(JSON.stringify(errors)));
					},
					error: (error) => reject(error instanceof Error ? error : new Error(JSON.stringify(error))),
					complete: () => resolve(answer as Record<string, Record<string, unknown>>),
				},
			);
		});
	// What the socket was asked first it has answered: the subscription is under way.
	await ask("query { __typename }", null);
	return {
		frames,
		ended,
		told: (type, commandId) =>
			until(`${type} of ${commandId}`, () => frames.find((frame) => frame.type === type && frame.commandId === commandId)),
		ask,
		report: async (commandId, state, more = {}) =>
			String((await ask(reportCommandDocument, { commandId, state, ...more }))["reportCommand"]?.["state"]),
		output: async (commandId, sequence, data, stream = "STDOUT") => {
			const input = { commandId, sequence, stream, data: Buffer.from(data).toString("base64") };
			return (await ask(sendOutputDocument, input))["sendCommandOutput"]?.["wanted"] === true;
		},
		close: async () => client.dispose(),
	};
}
