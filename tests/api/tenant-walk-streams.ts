/** Subscriptions over one socket, and what they were told. */
import { createClient } from "graphql-ws/client";
import type { Muster } from "../support/muster.ts";
import type { Case } from "./tenant-walk-cases.ts";

export interface Stream {
	readonly one: Case;
	/** What came, as JSON. */
	readonly received: readonly string[];
}

export interface Streams {
	readonly streams: readonly Stream[];
	/** What went wrong on the socket or with a subscription. */
	readonly problems: readonly unknown[];
	/** Resolves once the server has answered a query on this socket: what it had sent before has come. */
	answered(): Promise<void>;
	close(): Promise<void>;
}

/** Subscribes to each of these as the holder of a token. */
export function openStreams(server: Muster, token: string, cases: readonly Case[]): Streams {
	const problems: unknown[] = [];
	const client = createClient({
		url: `${server.url.replace("http", "ws")}/graphql`,
		webSocketImpl: WebSocket,
		connectionParams: { authorization: `Bearer ${token}` },
	});
	const streams = cases.map((one): Stream => {
		const received: string[] = [];
		client.subscribe(
			{ query: one.document, variables: { ...one.variables } },
			{
				next: (event) => (event.errors === undefined ? received.push(JSON.stringify(event)) : problems.push([one.leaf, event.errors])),
				error: (error) => problems.push([one.leaf, error]),
				complete() {},
			},
		);
		return { one, received };
	});
	return {
		streams,
		problems,
		answered: () =>
			new Promise((resolve, reject) => {
				client.subscribe({ query: "{ __typename }" }, { next() {}, error: reject, complete: resolve });
			}),
		close: async () => client.dispose(),
	};
}
