import * as v from "valibot";
import type { Settings } from "../deps.ts";
import { send, textOf } from "./portainer-http.ts";

/** The Portainer that is configured. */
export type PortainerPlace = NonNullable<Settings["portainer"]>;

/** Portainer refused, or could not be asked. The message names what was asked and holds no secret. */
export class PortainerError extends Error {
	override readonly name = "PortainerError";
	/** Undefined: it gave no answer. */
	readonly status: number | undefined;
	constructor(message: string, status: number | undefined, options?: ErrorOptions) {
		super(message, options);
		this.status = status;
	}
	/** Whether the same may go well later: it was away, busy or at fault itself. */
	get passing(): boolean {
		return this.status === undefined || this.status >= 500 || this.status === 408 || this.status === 429;
	}
}

const environmentSchema = v.looseObject({
	Id: v.number(),
	Name: v.string(),
	EdgeID: v.optional(v.string(), ""),
	EdgeKey: v.optional(v.string(), ""),
	LastCheckInDate: v.optional(v.number(), 0),
	Heartbeat: v.optional(v.boolean(), false),
});
/** An environment, as far as it matters here. */
export type Environment = v.InferOutput<typeof environmentSchema>;

const statusSchema = v.looseObject({ Version: v.string() });
const errorSchema = v.looseObject({ message: v.optional(v.string(), ""), details: v.optional(v.string(), "") });

const answerBytesMax = 8 * 1024 * 1024;
const messageCharactersMax = 500;
/** Portainer's create and delete answer within a second; one that is starting takes several. */
const callMs = 15_000;
/** EndpointCreationType: an Edge agent's environment. */
const edgeAgent = "4";
/** So often the agent looks whether it is wanted; the first use of its tunnel waits for that. */
export const checkinSeconds = 5;

/** What is asked of Portainer's API. Every call rejects with `PortainerError`, and may be repeated. */
export interface PortainerClient {
	/** Its version, which the agent's image is to have. */
	version(signal: AbortSignal): Promise<string>;
	/** Makes an Edge environment of this name, or takes the one that is there. */
	register(name: string, signal: AbortSignal): Promise<Environment>;
	/** Undefined: there is none. */
	environment(id: number, signal: AbortSignal): Promise<Environment | undefined>;
	findEnvironment(name: string, signal: AbortSignal): Promise<Environment | undefined>;
	/** Removes an environment; nothing happens when it is gone. */
	remove(id: number, signal: AbortSignal): Promise<void>;
}

/** The client of a Portainer. Opens nothing. */
export function portainerClient(place: PortainerPlace): PortainerClient {
	async function call(method: string, path: string, signal: AbortSignal, form?: FormData): Promise<{ status: number; text: string }> {
		// A Response writes the form: its boundary and its parts.
		const encoded = form && new Response(form);
		const type: Record<string, string> = encoded === undefined ? {} : { "content-type": encoded.headers.get("content-type") ?? "" };
		const limit = AbortSignal.timeout(callMs);
		try {
			const answer = await send({
				method,
				url: new URL(`${place.url}${path}`),
				headers: { "x-api-key": place.apiKey.reveal(), accept: "application/json", ...type },
				...(encoded === undefined ? {} : { body: new Uint8Array(await encoded.arrayBuffer()) }),
				insecureTls: place.insecureTls,
				signal: AbortSignal.any([signal, limit]),
			});
			return { status: answer.status, text: await textOf(answer.body, answerBytesMax) };
		} catch (error) {
			if (signal.aborted) throw signal.reason;
			const why = limit.aborted ? `no answer within ${callMs / 1_000} s` : reasonOf(error);
			throw new PortainerError(`Cannot ask Portainer at ${place.url}: ${why}${remedyOf(why)}`, undefined, { cause: error });
		}
	}

	async function ask<S extends v.GenericSchema>(schema: S, method: string, path: string, signal: AbortSignal, form?: FormData) {
		const { status, text } = await call(method, path, signal, form);
		if (status < 200 || status > 299) throw refusal(method, path, status, text);
		const parsed = v.safeParse(schema, jsonOf(text));
		if (parsed.success) return parsed.output;
		throw new PortainerError(`Portainer's answer to ${method} ${path} is not as its API says: ${parsed.issues[0].message}`, status);
	}

	async function environment(id: number, signal: AbortSignal): Promise<Environment | undefined> {
		return unless404(ask(environmentSchema, "GET", `/api/endpoints/${id}?excludeSnapshot=true`, signal));
	}

	async function findEnvironment(name: string, signal: AbortSignal): Promise<Environment | undefined> {
		const path = `/api/endpoints?name=${encodeURIComponent(name)}&excludeSnapshots=true`;
		const found = await ask(v.array(environmentSchema), "GET", path, signal);
		// Portainer's filter may match parts of names.
		return found.find(({ Name }) => Name === name);
	}

	return {
		async version(signal) {
			const status = await unless404(ask(statusSchema, "GET", "/api/system/status", signal));
			return (status ?? (await ask(statusSchema, "GET", "/api/status", signal))).Version;
		},
		async register(name, signal) {
			const form = new FormData();
			form.set("Name", name);
			form.set("EndpointCreationType", edgeAgent);
			form.set("URL", place.edgeUrl);
			// Without it newer versions take the environment for Kubernetes.
			form.set("ContainerEngine", "docker");
			form.set("GroupID", "1");
			form.set("TagIds", "[]");
			form.set("EdgeCheckinInterval", String(checkinSeconds));
			try {
				return await ask(environmentSchema, "POST", "/api/endpoints", signal, form);
			} catch (error) {
				if (!(error instanceof PortainerError) || error.status !== 409) throw error;
				const found = await findEnvironment(name, signal);
				const whole = found && (await environment(found.Id, signal));
				if (whole === undefined) throw error;
				return whole;
			}
		},
		environment,
		findEnvironment,
		async remove(id, signal) {
			const { status, text } = await call("DELETE", `/api/endpoints/${id}`, signal);
			if ((status < 200 || status > 299) && status !== 404) throw refusal("DELETE", `/api/endpoints/${id}`, status, text);
		},
	};
}

async function unless404<T>(work: Promise<T>): Promise<T | undefined> {
	try {
		return await work;
	} catch (error) {
		if (error instanceof PortainerError && error.status === 404) return undefined;
		throw error;
	}
}

function refusal(method: string, path: string, status: number, text: string): PortainerError {
	const parsed = v.safeParse(errorSchema, jsonOf(text));
	const said = parsed.success ? [parsed.output.message, parsed.output.details].filter((part) => part !== "").join(": ") : text.trim();
	const asked = `${method} ${path.replace(/\?.*$/, "")}`;
	return new PortainerError(
		`Portainer answered ${status} to ${asked}: ${said.slice(0, messageCharactersMax) || "no reason"}${hint(status)}`,
		status,
	);
}

function hint(status: number): string {
	if (status === 401 || status === 403) return "; check that MUSTER_PORTAINER_API_KEY is an administrator's access token";
	if (status === 303) return "; Portainer waits to be set up: restart it and make its administrator";
	return "";
}

function remedyOf(why: string): string {
	return /certificate|self.signed|unknown.?issuer/i.test(why)
		? "; give a certificate that this server trusts, or set MUSTER_PORTAINER_INSECURE_TLS=on"
		: "; check MUSTER_PORTAINER_URL and that it runs";
}

function jsonOf(text: string): unknown {
	try {
		return JSON.parse(text);
	} catch {
		return undefined;
	}
}

function reasonOf(error: unknown): string {
	return error instanceof Error ? error.message : String(error);
}
