/** What the tests of commands share: an enrolled host in a state of the test's choosing, and short words for what people ask. */
import { createClient } from "graphql-ws/client";
import { asAdmin, graphql } from "../support/muster.ts";
import { enrollInput } from "../support/pipeline.ts";
import { until } from "../support/until.ts";
import { type Bench, enroll, newSite } from "./support.ts";

export interface TestHost {
	readonly hostId: string;
	readonly workerId: string;
	readonly apiKey: string;
	readonly siteCode: string;
}

/** An enrolled worker and its host, MONITORING or moved to another state. */
export async function newHost({ server, database }: Bench, state = "MONITORING"): Promise<TestHost> {
	const site = await newSite(server);
	const { hostId, workerId, apiKey } = (await enroll(server, enrollInput(site))).data.enroll;
	await database.db.sql`update hosts set state = ${state}, last_known_state = ${state} where id = ${hostId}`;
	return { hostId, workerId, apiKey, siteCode: site.siteCode };
}

export const shown = "id kind state params requestedBy startedAt endedAt result errorCode errorMessage";

/** One of the mutations that give a command, by an admin. */
export async function act(server: { url: string; adminToken: string }, name: string, input: object) {
	const type = `${name.charAt(0).toUpperCase()}${name.slice(1)}Input`;
	const inputs: Record<string, string> = {
		startContainer: "ContainerInput",
		inspectContainer: "ContainerInput",
		restartContainer: "StopContainerInput",
	};
	const query = `mutation ($input: ${inputs[name] ?? type}!) { ${name}(input: $input) { command { ${shown} } } }`;
	return (await asAdmin(server, query, { input }))[name].command;
}

/** The same, for its error's code and message. */
export async function refused(server: { url: string; adminToken: string }, name: string, input: object): Promise<string> {
	return act(server, name, input).then(
		(command) => `no refusal: ${JSON.stringify(command)}`,
		(error: unknown) => String(error),
	);
}

export async function cancel(server: { url: string; adminToken: string }, id: string) {
	return (await asAdmin(server, `mutation ($id: ID!) { cancelCommand(id: $id) { command { ${shown} } } }`, { id })).cancelCommand.command;
}

export async function commandOf(server: { url: string; adminToken: string }, id: string) {
	return (await asAdmin(server, `query ($id: ID!) { command(id: $id) { ${shown} } }`, { id })).command;
}

export async function becomes(server: { url: string; adminToken: string }, id: string, state: string) {
	return until(`command ${id} is ${state}`, async () => {
		const command = await commandOf(server, id);
		return command.state === state && command;
	});
}

export interface Reading {
	readonly chunks: { readonly sequence: number; readonly stream: string; readonly data: string; readonly text: string }[];
	readonly errors: string[];
	readonly done: { is: boolean };
	stop(): Promise<void>;
}

/** Reads a command's output over a socket of its own. */
export function readOutput(server: { url: string; adminToken: string }, commandId: string, token = server.adminToken): Reading {
	const client = createClient({
		url: `${server.url.replace("http", "ws")}/graphql`,
		webSocketImpl: WebSocket,
		retryAttempts: 0,
		connectionParams: { authorization: `Bearer ${token}` },
	});
	const reading: Reading = { chunks: [], errors: [], done: { is: false }, stop: async () => client.dispose() };
	client.subscribe(
		{
			query: "subscription ($commandId: ID!) { commandOutput(commandId: $commandId) { sequence stream data text } }",
			variables: { commandId },
		},
		{
			next({ data, errors }) {
				if (errors === undefined) reading.chunks.push((data as { commandOutput: Reading["chunks"][number] }).commandOutput);
				else reading.errors.push(JSON.stringify(errors));
			},
			error: (error) => void reading.errors.push(JSON.stringify(error)),
			complete() {
				reading.done.is = true;
			},
		},
	);
	return reading;
}

/** What a reading has of one stream, as text. */
export function textOf({ chunks }: Reading, stream = "STDOUT"): string {
	return chunks.flatMap((chunk) => (chunk.stream === stream ? [chunk.text] : [])).join("");
}

/** The lines of the audit log about a subject, as JSON. */
export async function auditOf({ database }: Bench, subject: string): Promise<string[]> {
	const rows = await database.db.sql`select action, actor, detail from audit where subject = ${subject} order by id`;
	return rows.map((row) => JSON.stringify(row));
}

/** One request with a token. */
export function askAs(server: { url: string }, token: string, query: string, variables: object = {}) {
	return graphql(server, query, variables, { authorization: `Bearer ${token}` });
}
