/**
 * The one way to the API. Queries and mutations go over HTTP: a socket that breaks would send a mutation again on its return, and a site key would be rotated
 * twice. What moves comes over one WebSocket.
 */
import { signal } from "@preact/signals";
import { type Client, createClient } from "graphql-ws";
import { type Document, type ResultOf, textOf, type VariablesOf } from "./graphql.ts";
import { session, signOut } from "./session.ts";

const endpoint = new URL("graphql", document.baseURI);
const expired = "Your token has expired. Sign in again; you come back to this page.";
/** The server refused the token that came with the connection. */
const forbidden = 4403;

/** Whether live changes reach the page. */
export const connection = signal<"idle" | "live" | "lost">("idle");
/** Grows each time what is shown may be old: after a connection that was lost. */
export const generation = signal(0);

/** What the API refused, with its code. */
export class ApiError extends Error {
	readonly code: string;
	constructor(code: string, message: string) {
		super(message);
		this.name = "ApiError";
		this.code = code;
	}
}

interface Reply {
	readonly data?: unknown;
	readonly errors?: readonly { readonly message: string; readonly extensions?: { readonly code?: string } }[];
}

/** Runs a query or a mutation. Rejects with ApiError; UNAUTHENTICATED also signs out. Never repeated by itself. */
export async function send<D extends Document<unknown, never>>(
	operation: D,
	variables: VariablesOf<D>,
	token = session.peek()?.token,
): Promise<ResultOf<D>> {
	const reply = await post(textOf(operation), variables, token);
	const [error] = reply.errors ?? [];
	if (error !== undefined) {
		const code = error.extensions?.code ?? "ERROR";
		if (code === "UNAUTHENTICATED" && token === session.peek()?.token) signOut(error.message);
		throw new ApiError(code, error.message);
	}
	return reply.data as ResultOf<D>;
}

async function post(query: string, variables: unknown, token: string | undefined): Promise<Reply> {
	let response: Response;
	try {
		response = await fetch(endpoint, {
			method: "POST",
			headers: { "content-type": "application/json", ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
			body: JSON.stringify({ query, variables }),
		});
	} catch {
		throw new ApiError("UNREACHABLE", "The server does not answer. This page tries again by itself as soon as it does.");
	}
	try {
		return (await response.json()) as Reply;
	} catch {
		throw new ApiError(`HTTP_${response.status}`, `The server, or a proxy before it, answered ${response.status} without a reply`);
	}
}

let client: Client | undefined;

/** Opens the socket for the one who is signed in; closes it when nobody is. Called once at the start. */
export function followSession(): void {
	let expiry: ReturnType<typeof setTimeout> | undefined;
	session.subscribe((current) => {
		clearTimeout(expiry);
		void client?.dispose();
		client = current === undefined ? undefined : openClient(current.token);
		connection.value = "idle";
		if (current === undefined) return;
		// Timers take at most 2^31 - 1 ms; a token that lives longer ends by the server's word.
		expiry = setTimeout(() => signOut(expired), Math.min(Math.max(0, current.expiresAt - Date.now()), 2_147_483_647));
	});
}

function openClient(token: string): Client {
	const url = new URL(endpoint);
	url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
	let opened = 0;
	const lost = () => {
		if (session.peek()?.token === token) connection.value = "lost";
	};
	return createClient({
		url: url.href,
		connectionParams: { authorization: `Bearer ${token}` },
		// A dead link says nothing: the pong that does not come closes it.
		keepAlive: 10_000,
		retryAttempts: Number.POSITIVE_INFINITY,
		shouldRetry: () => session.peek()?.token === token,
		// The browser hears nothing for minutes when a laptop sleeps: it tries again within a few seconds, not within a minute.
		retryWait: (retries) => new Promise((resolve) => setTimeout(resolve, Math.min(500 * 2 ** retries, 4_000) * (0.5 + Math.random()))),
		on: {
			connected() {
				opened += 1;
				connection.value = "live";
				if (opened > 1) generation.value += 1;
			},
			closed(event) {
				const { code, reason } = event as CloseEvent;
				if (code === forbidden) signOut(reason === "" ? expired : reason);
				else if (code !== 1000) lost();
			},
			error: lost,
		},
	});
}

/** Follows a subscription that has an end of its own, once; `ended` hears of it, with what went wrong. */
export function followOnce<D extends Document<unknown, never>>(
	operation: D,
	variables: VariablesOf<D>,
	take: (event: ResultOf<D>) => void,
	ended: (fault: ApiError | undefined) => void,
): () => void {
	if (client === undefined) return () => {};
	let over = false;
	const end = (fault?: ApiError) => {
		if (!over) ended(fault);
		over = true;
	};
	const stop = client.subscribe(
		{ query: textOf(operation), variables: variables as Record<string, unknown> },
		{
			next: ({ data }) => {
				if (data != null && !over) take(data as ResultOf<D>);
			},
			error: (fault) => {
				const [first] = Array.isArray(fault) ? fault : [];
				end(new ApiError(first?.extensions?.code ?? "CONNECTION", first?.message ?? "The connection was lost: open it again"));
			},
			complete: () => end(),
		},
	);
	return () => {
		over = true;
		stop();
	};
}

/** Follows a subscription until the returned function is called; comes back by itself after every break. */
export function follow<D extends Document<unknown, never>>(
	operation: D,
	variables: VariablesOf<D>,
	take: (event: ResultOf<D>) => void,
): () => void {
	const current = client;
	let over = false;
	let stop = () => {};
	let again: ReturnType<typeof setTimeout> | undefined;
	const retry = () => {
		if (!over) again = setTimeout(start, 1_000 + Math.random() * 1_000);
	};
	function start(): void {
		if (current === undefined || current !== client) return;
		stop = current.subscribe(
			{ query: textOf(operation), variables: variables as Record<string, unknown> },
			{
				next: ({ data }) => {
					if (data != null) take(data as ResultOf<D>);
				},
				error: (fault) => {
					const code = Array.isArray(fault) ? fault[0]?.extensions?.code : undefined;
					if (code === "UNAUTHENTICATED") signOut(expired);
					else retry();
				},
				complete: retry,
			},
		);
	}
	start();
	return () => {
		over = true;
		clearTimeout(again);
		stop();
	};
}
