import { request } from "node:http";
import * as v from "valibot";
import { type MeshStatus, parseStatus } from "./mesh-status.ts";

/** Asks a mesh client over its socket (Tailscale's LocalAPI). Nothing throws: undefined means that it did not answer, or not as expected. */
export interface MeshApi {
	status(): Promise<MeshStatus | undefined>;
	/** Where it is logged in, or tries to be. */
	controlUrl(): Promise<string | undefined>;
	/** Whether an address is that of a member whom this host may reach. */
	isMember(ip: string): Promise<boolean | undefined>;
	/** Whether a name is that of a member. */
	isMemberName(name: string): Promise<boolean | undefined>;
}

const answerMs = 3_000;
// A status without peers is 3 KiB; with ten thousand of them some 15 MiB.
const answerCharactersMax = 33_554_432;
const prefsSchema = v.object({ ControlURL: v.optional(v.string(), "") });
const peersSchema = v.object({
	Peer: v.optional(
		v.nullable(v.record(v.string(), v.object({ HostName: v.optional(v.string(), ""), DNSName: v.optional(v.string(), "") }))),
	),
});

/** Opens nothing: each question is a call of its own. */
export function meshApi(socketPath: string): MeshApi {
	const ask = (path: string) => call(socketPath, `/localapi/v0/${path}`);
	return {
		async status() {
			const answer = await ask("status?peers=false");
			return answer?.status === 200 ? parseStatus(answer.text) : undefined;
		},
		async controlUrl() {
			const answer = await ask("prefs");
			const parsed = v.safeParse(prefsSchema, parseJson(answer?.text));
			return parsed.success ? parsed.output.ControlURL : undefined;
		},
		async isMember(ip) {
			const answer = await ask(`whois?addr=${encodeURIComponent(ip.includes(":") ? `[${ip}]:1` : `${ip}:1`)}`);
			return answer?.status === 200 ? true : answer?.status === 404 ? false : undefined;
		},
		async isMemberName(name) {
			const parsed = v.safeParse(peersSchema, parseJson((await ask("status"))?.text));
			if (!parsed.success) return undefined;
			const meant = name.toLowerCase().replace(/\.$/, "");
			return Object.values(parsed.output.Peer ?? {}).some(({ HostName, DNSName }) => {
				const full = DNSName.toLowerCase().replace(/\.$/, "");
				return full === meant || full.split(".")[0] === meant || HostName.toLowerCase() === meant;
			});
		},
	};
}

function call(socketPath: string, path: string): Promise<{ readonly status: number; readonly text: string } | undefined> {
	return new Promise((resolve) => {
		const signal = AbortSignal.timeout(answerMs);
		signal.addEventListener("abort", () => resolve(undefined), { once: true });
		// The client refuses any other Host, so that no web page can talk to it.
		const sent = request({ socketPath, path, agent: false, signal, headers: { host: "local-tailscaled.sock" } }, (response) => {
			let text = "";
			response.setEncoding("utf8");
			response.on("data", (part: string) => {
				if (text.length < answerCharactersMax) text += part;
			});
			response.once("error", () => resolve(undefined));
			response.once("end", () => resolve({ status: response.statusCode ?? 0, text }));
		});
		sent.once("error", () => resolve(undefined));
		sent.end();
	});
}

function parseJson(text: string | undefined): unknown {
	try {
		return JSON.parse(text ?? "");
	} catch {
		return undefined;
	}
}
