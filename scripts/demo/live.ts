/** The public API as a client sees it: requests over HTTP, subscriptions over graphql-transport-ws. */
import { createClient } from "graphql-ws";
import * as v from "valibot";

/** Where to ask, and as whom. */
export interface Api {
	readonly url: string;
	readonly token: string;
}

const replySchema = v.object({ data: v.optional(v.unknown()), errors: v.optional(v.array(v.object({ message: v.string() }))) });

/** One request; its data as `schema` reads it. Throws with the server's words when there are errors. */
export async function ask<S extends v.GenericSchema>(
	api: Api,
	schema: S,
	query: string,
	variables: object = {},
): Promise<v.InferOutput<S>> {
	const response = await fetch(`${api.url}/graphql`, {
		method: "POST",
		headers: { "content-type": "application/json", authorization: `Bearer ${api.token}` },
		body: JSON.stringify({ query, variables }),
	});
	return read(schema, await response.json());
}

/** A running subscription: everything that came so far, in order. */
export interface Live<T> {
	readonly events: readonly T[];
	/** Undefined while it runs; afterwards why it ended. */
	ended(): string | undefined;
	stop(): Promise<void>;
}

/** Subscribes over a socket of its own that does not reconnect: a gap would be seen, not hidden. */
export function watch<S extends v.GenericSchema>(
	api: Api,
	schema: S,
	query: string,
	variables: Record<string, unknown> = {},
): Live<v.InferOutput<S>> {
	const events: v.InferOutput<S>[] = [];
	let why: string | undefined;
	const client = createClient({
		url: `${api.url.replace(/^http/, "ws")}/graphql`,
		connectionParams: { authorization: `Bearer ${api.token}` },
		retryAttempts: 0,
	});
	const results = client.iterate({ query, variables });
	const reading = (async () => {
		for await (const result of results) events.push(read(schema, result));
		return "the server completed it";
	})().then(
		(reason) => {
			why = reason;
		},
		(error: unknown) => {
			why = reasonOf(error);
		},
	);
	return {
		events,
		ended: () => why,
		async stop() {
			await results.return?.();
			await client.dispose();
			await reading;
		},
	};
}

function read<S extends v.GenericSchema>(schema: S, body: unknown): v.InferOutput<S> {
	const { data, errors } = v.parse(replySchema, body);
	if (errors !== undefined) throw new Error(`The server answered: ${errors.map(({ message }) => message).join("; ")}`);
	return v.parse(schema, data);
}

/** A socket that closes rejects with its close event, which is no Error. */
function reasonOf(error: unknown): string {
	if (error instanceof Error) return error.message;
	const closed = v.safeParse(v.object({ code: v.number(), reason: v.string() }), error);
	return closed.success ? `the socket closed with ${closed.output.code} ${closed.output.reason}` : String(error);
}
