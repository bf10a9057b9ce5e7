import type { IdentityStore } from "./identity.ts";
import type { Holder } from "./lock.ts";

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
	];
	return rows.map(([label, value]) => `${`${label}:`.padEnd(18)}${value ?? "-"}\n`).join("");
}
