import { get } from "node:http";
import * as v from "valibot";
import type { IdentityStore } from "./identity.ts";
import type { Holder } from "./lock.ts";

const reportSchema = v.object({
	service: v.literal("muster-worker"),
	pid: v.number(),
	status: v.picklist(["ok", "unavailable"]),
	lastHeartbeat: v.nullable(v.string()),
	reason: v.nullable(v.string()),
	/** Absent in a worker of before this. */
	docker: v.optional(
		v.nullable(v.union([v.object({ up: v.literal(true), version: v.string() }), v.object({ up: v.literal(false), reason: v.string() })])),
		null,
	),
});
/** What a running worker says about itself at `/healthz`. */
export type Report = v.InferOutput<typeof reportSchema>;

const reportDeadlineMs = 1_000;
const reportCharactersMax = 65_536;

/** What `status` knows. */
export interface Status {
	readonly enrolled: boolean;
	readonly workerId: string | null;
	readonly name: string | null;
	/** The last four characters of the API key. */
	readonly keyHint: string | null;
	readonly serverAddress: string | null;
	readonly stateDir: string | null;
	/** When an enrollment began that has no answer yet. */
	readonly enrollingSince: string | null;
	/** The pid of the worker that runs on the state directory; null when none does, or when it cannot be told. */
	readonly pid: number | null;
	readonly running: boolean;
	/** Whether the running worker reports to its server; null when it cannot be asked: it does not run, or serves no metrics. */
	readonly reporting: boolean | null;
	/** When the server last answered its heartbeat. */
	readonly lastHeartbeat: string | null;
	/** Why it does not report. */
	readonly trouble: string | null;
	/** Whether the running worker reaches Docker; null when it cannot be asked. */
	readonly docker: Report["docker"];
	/** This host's place on the mesh; null when it is to be on none. */
	readonly mesh: MeshStanding | null;
}

/** What `status` knows of the mesh. */
export interface MeshStanding {
	/** The client's word; null when it does not answer, as when no worker runs. */
	readonly state: string | null;
	readonly addresses: readonly string[];
	readonly nodeName: string | null;
	/** What is wrong, with the remedy. */
	readonly trouble: string | null;
	/** All of it, for people. */
	readonly text: string;
}

/** Asks the worker that holds the state directory, on the port its metrics are on, within a second. Undefined when it does not answer, or another does. */
export function askWorker(port: number | undefined, holder: Holder | "unknown" | undefined): Promise<Report | undefined> {
	if (port === undefined || holder === undefined || holder === "unknown") return Promise.resolve(undefined);
	const { promise, resolve } = Promise.withResolvers<Report | undefined>();
	const signal = AbortSignal.timeout(reportDeadlineMs);
	signal.addEventListener("abort", () => resolve(undefined), { once: true });
	const call = get({ host: "127.0.0.1", port, path: "/healthz", agent: false, signal }, (response) => {
		let text = "";
		response.setEncoding("utf8");
		response.on("data", (part: string) => {
			if (text.length < reportCharactersMax) text += part;
		});
		response.once("error", () => resolve(undefined));
		response.once("end", () => {
			const report = parseReport(text);
			resolve(report?.pid === holder.pid ? report : undefined);
		});
	});
	call.once("error", () => resolve(undefined));
	return promise;
}

function parseReport(text: string): Report | undefined {
	try {
		const parsed = v.safeParse(reportSchema, JSON.parse(text));
		return parsed.success ? parsed.output : undefined;
	} catch {
		return undefined;
	}
}

/** Reads the status without changing anything. Throws `Fatal` 74 when the state cannot be read or does not belong together. */
export function readStatus(
	stateDir: string | undefined,
	store: IdentityStore | undefined,
	holder: Holder | "unknown" | undefined,
	configured: {
		readonly serverAddress: string | undefined;
		readonly apiKey: { readonly workerId: string; readonly hint: string } | undefined;
	},
	report?: Report,
	mesh: MeshStanding | null = null,
): Status {
	const kept = store?.peek();
	const workerId = configured.apiKey?.workerId ?? kept?.credential.workerId ?? null;
	const hint = configured.apiKey?.hint ?? kept?.credential.apiKey.reveal().slice(-4) ?? null;
	return {
		enrolled: workerId !== null,
		workerId,
		name: kept?.server?.name ?? null,
		keyHint: hint,
		serverAddress: configured.serverAddress ?? kept?.server?.address ?? kept?.server?.enrolledAt.replace(/\/graphql$/, "") ?? null,
		stateDir: stateDir ?? null,
		enrollingSince: store?.pending()?.startedAt ?? null,
		pid: holder === undefined || holder === "unknown" ? null : holder.pid,
		running: holder !== undefined,
		reporting: report === undefined ? null : report.status === "ok",
		lastHeartbeat: report?.lastHeartbeat ?? null,
		trouble: report?.reason ?? null,
		docker: report?.docker ?? null,
		mesh,
	};
}

/** The status as text, one fact a line, or as one JSON object. */
export function formatStatus(status: Status, format: "text" | "json"): string {
	if (format === "json") return `${JSON.stringify(status)}\n`;
	const running = status.running ? `yes${status.pid === null ? "" : `, pid ${status.pid}`}` : "no";
	const rows: readonly (readonly [string, string | null])[] = [
		["enrolled", status.enrolled ? "yes" : status.enrollingSince === null ? "no" : `not yet, waiting since ${status.enrollingSince}`],
		["worker id", status.workerId],
		["name", status.name],
		["key", status.keyHint === null ? null : `…${status.keyHint}`],
		["server", status.serverAddress],
		["state directory", status.stateDir],
		["running", running],
		["docker", status.docker === null ? null : status.docker.up ? status.docker.version : `no: ${status.docker.reason}`],
		["reporting", reportingText(status)],
		["last heartbeat", status.lastHeartbeat],
		...(status.mesh === null ? [] : [["mesh", status.mesh.text] as const]),
	];
	return rows.map(([label, value]) => `${`${label}:`.padEnd(18)}${value ?? "-"}\n`).join("");
}

function reportingText({ reporting, trouble, running }: Status): string | null {
	if (reporting === null) return running ? "unknown: the worker does not answer on its metrics port" : null;
	return reporting ? "yes" : `no: ${trouble ?? "no reason given"}`;
}
