import * as v from "valibot";
import { EngineError, errorOf } from "./error.ts";
import { limited, type Patience, patience as usual } from "./patience.ts";
import type { EngineDuplex, EngineRequest, EngineResponse, EngineTransport } from "./transport.ts";
import { negotiate } from "./version.ts";

/** A Docker Engine that was asked which API version it speaks. The functions of this folder take it as their first argument. */
export interface Engine {
	readonly apiVersion: string;
	readonly patience: Patience;
	/** Asks, with no limit but the request's signal; an answer of 400 and above rejects as `EngineError`. The caller reads the body or ends its iteration. */
	call(request: EngineRequest): Promise<EngineResponse>;
	/** Asks for the raw connection. */
	hijack(request: EngineRequest): Promise<EngineDuplex>;
}

/** Options of every call. */
export interface CallOptions {
	readonly signal?: AbortSignal | undefined;
}

// The longest answer read whole is an inventory: ten thousand containers with their labels are some 30 MB.
const answerBytesMax = 67_108_864;
const errorBytesMax = 65_536;

const versionSchema = v.object({ ApiVersion: v.string(), MinAPIVersion: v.optional(v.string()) });

/** Finds out which API version to speak, and returns the client. Rejects with `EngineError` `docker_unavailable` when there is no engine or no common version. */
export async function openEngine(transport: EngineTransport, options: CallOptions = {}, patience: Patience = usual): Promise<Engine> {
	const text = await within({ method: "GET", path: "/version", signal: options.signal }, patience.answerMs, async (request) => {
		const response = await transport.request(request);
		const answer = await readText(response.body, answerBytesMax);
		if (response.status !== 200) throw errorOf(response.status, answer);
		return answer;
	});
	const { ApiVersion, MinAPIVersion } = validate(versionSchema, text, "/version");
	const apiVersion = negotiate({ newest: ApiVersion, oldest: MinAPIVersion });
	const versioned = (request: EngineRequest): EngineRequest => ({ ...request, path: `/v${apiVersion}${request.path}` });
	return {
		apiVersion,
		patience,
		async call(request) {
			const answer = await transport.request(versioned(request));
			if (answer.status < 400) return answer;
			throw errorOf(answer.status, await readText(answer.body, errorBytesMax));
		},
		hijack: (request) => transport.hijack(versioned(request)),
	};
}

/** Asks a question that is answered at once, with JSON of this form. Rejects with `EngineError`; `docker_error` when the form is another. */
export async function ask<S extends v.GenericSchema>(
	engine: Engine,
	schema: S,
	request: Omit<EngineRequest, "method" | "signal">,
	options: CallOptions = {},
): Promise<v.InferOutput<S>> {
	const asked = { ...request, method: "GET", signal: options.signal } as const;
	const text = await within(asked, engine.patience.answerMs, async (quick) => readText((await engine.call(quick)).body, answerBytesMax));
	return validate(schema, text, request.path);
}

/**
 * Has something done, and returns the answer's text and status. Rejects with `EngineError`; with `docker_unavailable`, which names the call, when that
 * takes longer than such work may, and `graceSeconds`: whether it is done then nobody knows.
 */
export function act(engine: Engine, request: EngineRequest, graceSeconds = 0): Promise<{ readonly status: number; readonly text: string }> {
	return within(request, engine.patience.workMs + graceSeconds * 1_000, async (bounded) => {
		const { status, body } = await engine.call(bounded);
		return { status, text: await readText(body, answerBytesMax) };
	});
}

/** Asks for what goes on: the answer has to begin soon, and may then take and be silent as long as it likes. The caller reads it or ends its iteration. */
export function stream(engine: Engine, request: EngineRequest): Promise<EngineResponse> {
	return within(request, engine.patience.answerMs, (bounded) => engine.call(bounded));
}

/** Asks for what tells its progress: silence that is too long ends it as `act` does. */
export async function* progress(engine: Engine, request: EngineRequest): AsyncGenerator<Uint8Array> {
	const limit = limited(request, engine.patience.silenceMs);
	try {
		const { body } = await engine.call({ ...request, signal: limit.signal });
		for await (const chunk of body) {
			// The reader's time is its own.
			limit.end();
			yield chunk;
			limit.renew();
		}
	} finally {
		limit.end();
	}
}

/** A POST with a JSON body. */
export function post(path: string, body: unknown, options: CallOptions & Pick<EngineRequest, "query"> = {}): EngineRequest {
	return { ...options, method: "POST", path, headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
}

/** Docker's way to say filters: a JSON map of lists, in the query. */
export function filtersOf(filters: Readonly<Record<string, readonly string[]>> | undefined): Readonly<Record<string, string>> {
	return filters === undefined ? {} : { filters: JSON.stringify(filters) };
}

/** JSON text of a form. Throws `EngineError` `docker_error` that names the path and what is wrong. */
export function validate<S extends v.GenericSchema>(schema: S, text: string, path: string): v.InferOutput<S> {
	let json: unknown;
	try {
		json = JSON.parse(text);
	} catch (error) {
		throw new EngineError("docker_error", `Docker's answer to ${path} is not JSON: ${text.slice(0, 100)}`, { cause: error });
	}
	const parsed = v.safeParse(schema, json);
	if (parsed.success) return parsed.output;
	const [issue] = parsed.issues;
	const where = v.getDotPath(issue);
	throw new EngineError("docker_error", `Docker's answer to ${path} is not as its API says: ${where ?? "it"}: ${issue.message}`);
}

/** Does what asks, within a time; the request it is given has the signal for it. */
async function within<T>(request: EngineRequest, limitMs: number, work: (request: EngineRequest) => Promise<T>): Promise<T> {
	const limit = limited(request, limitMs);
	try {
		return await work({ ...request, signal: limit.signal });
	} finally {
		limit.end();
	}
}

async function readText(body: AsyncIterable<Uint8Array>, bytesMax: number): Promise<string> {
	const decoder = new TextDecoder();
	let text = "";
	let size = 0;
	for await (const chunk of body) {
		size += chunk.length;
		if (size > bytesMax) throw new EngineError("docker_error", `Docker's answer has more than ${bytesMax} bytes`);
		text += decoder.decode(chunk, { stream: true });
	}
	return text + decoder.decode();
}
