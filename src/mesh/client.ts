/** One HTTP call to Headscale: authorised, with a deadline, a bounded answer and no redirect. */
import type { Secret } from "../lib/secret.ts";
import { MeshFault } from "./port.ts";
import { problemText } from "./replies.ts";

/** Where calls go, and with what. */
export interface Endpoint {
	readonly url: string;
	readonly apiKey: Secret;
	/** Aborted when the server stops. */
	readonly signal: AbortSignal;
}

export interface CallOptions {
	readonly method?: "GET" | "POST" | "DELETE";
	readonly body?: object;
	readonly deadlineMs: number;
}

/** What the message of a refusal that Headscale gave a reason for begins with. */
export const ownWord = "Headscale refused";
/** Ten thousand nodes are about 15 MB. */
const answerBytesMax = 64 * 1024 * 1024;

/** The JSON of a good answer. Throws MeshFault: `refused` when Headscale itself said no, `unavailable` when it is not known what became of it. */
export async function call(endpoint: Endpoint, path: string, options: CallOptions): Promise<unknown> {
	const signal = AbortSignal.any([endpoint.signal, AbortSignal.timeout(options.deadlineMs)]);
	let response: Response;
	let text: string;
	try {
		response = await fetch(`${endpoint.url}${path}`, {
			method: options.method ?? "GET",
			headers: {
				authorization: `Bearer ${endpoint.apiKey.reveal()}`,
				accept: "application/json",
				...(options.body === undefined ? {} : { "content-type": "application/json" }),
			},
			...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
			redirect: "manual",
			signal,
		});
		text = await bounded(response);
	} catch (cause) {
		if (cause instanceof MeshFault) throw cause;
		const late = cause instanceof Error && cause.name === "TimeoutError";
		const why = late ? `Headscale did not answer within ${options.deadlineMs / 1_000} seconds` : "Headscale cannot be reached";
		throw new MeshFault("unavailable", why, { cause });
	}
	const { status } = response;
	if (status >= 200 && status < 300) {
		try {
			return JSON.parse(text);
		} catch (cause) {
			throw new MeshFault("unavailable", "What answers at MUSTER_HEADSCALE_URL is not Headscale: its answer is no JSON", { status, cause });
		}
	}
	// Some versions answer a malformed API key with 500.
	if (status === 401 || status === 403 || text.trim() === "Unauthorized")
		throw new MeshFault("refused", "Headscale does not take MUSTER_HEADSCALE_API_KEY: make one with `headscale apikeys create`", {
			status,
		});
	const said = problemText(text);
	if (said !== undefined && status !== 502 && status !== 503 && status !== 504)
		throw new MeshFault("refused", `${ownWord} (${status}): ${said}`, { status });
	throw new MeshFault(status < 500 ? "refused" : "unavailable", `Headscale answered ${status}`, { status });
}

async function bounded(response: Response): Promise<string> {
	if (response.body === null) return "";
	const decoder = new TextDecoder();
	let text = "";
	let bytes = 0;
	for await (const chunk of response.body) {
		bytes += chunk.byteLength;
		if (bytes > answerBytesMax) throw new MeshFault("unavailable", `Headscale's answer is longer than ${answerBytesMax} bytes`);
		text += decoder.decode(chunk, { stream: true });
	}
	return text + decoder.decode();
}
