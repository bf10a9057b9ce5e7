import * as v from "valibot";
import { type EnrollReply, enrollDocument, enrollReply, heartbeatDocument, heartbeatReply } from "../src/protocol/operations.ts";
import type { Endpoint } from "./address.ts";

import { reasonOf } from "./fatal.ts";
import type { Credential } from "./identity.ts";
import type { CheckVerdict } from "./machine-state.ts";

/** What came of an enroll call. */
export type EnrollAnswer =
	| { readonly kind: "replied"; readonly reply: EnrollReply }
	/** No usable answer; `permanent` when the server understood the request and will never take it. */
	| { readonly kind: "unanswered"; readonly why: string; readonly permanent: boolean };

export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

// Proving a key may queue behind ten thousand others (DESIGN.md, One path in); a reply that takes longer is fetched again with the same id.
const callTimeoutMs = 30_000;
// An enroll reply is about 1 KiB; whatever is longer is no Muster.
const replyBytesMax = 262_144;

const errorSchema = v.object({ message: v.string(), extensions: v.optional(v.object({ code: v.optional(v.string()) })) });
const bodySchema = v.object({ data: v.optional(v.unknown()), errors: v.optional(v.array(errorSchema)) });
type Body = v.InferOutput<typeof bodySchema>;

/**
 * Sends one enrollment. Never throws: whatever goes wrong is an answer with one line of why. Safe to repeat with the same enrollment id.
 * Follows no redirect, so that no key goes where the user did not send it.
 */
export async function callEnroll(fetch: Fetch, endpoint: Endpoint, input: unknown, signal: AbortSignal): Promise<EnrollAnswer> {
	const answer = await post(fetch, endpoint, { query: enrollDocument, operationName: "Enroll", variables: { input } }, {}, signal);
	if (answer.body === undefined) return { kind: "unanswered", why: answer.why, permanent: false };
	const data = v.safeParse(v.object({ enroll: enrollReply }), answer.body.data);
	if (data.success) return { kind: "replied", reply: data.output.enroll };
	const error = answer.body.errors?.[0];
	if (error === undefined) {
		const why = `Cannot enroll at ${endpoint.http}: the reply is not one this version understands (HTTP ${answer.status})`;
		return { kind: "unanswered", why, permanent: false };
	}
	const code = error.extensions?.code;
	const permanent = code === "BAD_USER_INPUT" || code === "GRAPHQL_VALIDATION_FAILED" || code === "GRAPHQL_PARSE_FAILED";
	return { kind: "unanswered", why: `Cannot enroll at ${endpoint.http}: ${error.message} (HTTP ${answer.status})`, permanent };
}

/**
 * Asks over HTTP whether a credential that the socket doubted is good, by a heartbeat without content. A WebSocket client cannot
 * tell a refused upgrade from a broken network (RUNTIME.md, 6); this can. Never throws.
 */
export async function callCheck(fetch: Fetch, endpoint: Endpoint, credential: Credential, signal: AbortSignal): Promise<CheckVerdict> {
	const headers = { authorization: `Bearer ${credential.apiKey.reveal()}`, "muster-worker-id": credential.workerId };
	const answer = await post(fetch, endpoint, { query: heartbeatDocument, operationName: "Heartbeat", variables: {} }, headers, signal);
	if (v.is(v.object({ heartbeat: heartbeatReply }), answer.body?.data)) return "accepted";
	const code = answer.body?.errors?.[0]?.extensions?.code;
	return code === "UNAUTHENTICATED" || code === "FORBIDDEN" || answer.status === 401 || answer.status === 403 ? "refused" : "unreachable";
}

/** What `fetch` of this runtime has to be told to go by an endpoint's proxy. */
export function through({ proxy }: Endpoint): RequestInit {
	return proxy === undefined ? {} : ({ proxy } as RequestInit);
}

type Answer =
	| { readonly status: number; readonly body: Body; readonly why: string }
	| { readonly status: number | undefined; readonly body: undefined; readonly why: string };

async function post(
	fetch: Fetch,
	endpoint: Endpoint,
	request: unknown,
	headers: Readonly<Record<string, string>>,
	signal: AbortSignal,
): Promise<Answer> {
	try {
		const response = await fetch(endpoint.http, {
			method: "POST",
			redirect: "manual",
			headers: { accept: "application/graphql-response+json, application/json", "content-type": "application/json", ...headers },
			body: JSON.stringify(request),
			signal: AbortSignal.any([signal, AbortSignal.timeout(callTimeoutMs)]),
			...through(endpoint),
		});
		return await readAnswer(endpoint, response);
	} catch (error) {
		return { status: undefined, body: undefined, why: `Cannot reach ${endpoint.http}: ${reasonOf(error)}` };
	}
}

/** Reads the body first, whatever the status: a refusal comes with 4xx or 5xx and a GraphQL body. */
async function readAnswer(endpoint: Endpoint, response: Response): Promise<Answer> {
	const { status } = response;
	const location = response.headers.get("location");
	if (status >= 300 && status < 400) {
		await response.body?.cancel();
		return {
			status,
			body: undefined,
			why: `Cannot use ${endpoint.http}: it redirects (HTTP ${status}) to ${location ?? "nowhere"}, give the final address`,
		};
	}
	const body = parseBody(await readText(response));
	if (body !== undefined) return { status, body, why: "" };
	return {
		status,
		body: undefined,
		why: `Cannot use ${endpoint.http}: HTTP ${status} without a GraphQL reply, check that this is a Muster server's address`,
	};
}

async function readText(response: Response): Promise<string> {
	const chunks: Uint8Array[] = [];
	let size = 0;
	for await (const chunk of response.body ?? []) {
		size += chunk.length;
		if (size > replyBytesMax) return "";
		chunks.push(chunk);
	}
	return Buffer.concat(chunks).toString("utf8");
}

function parseBody(text: string): Body | undefined {
	try {
		const parsed = v.safeParse(bodySchema, JSON.parse(text));
		return parsed.success && (parsed.output.data !== undefined || parsed.output.errors !== undefined) ? parsed.output : undefined;
	} catch {
		return undefined;
	}
}
