import { execFile } from "node:child_process";
import { isKeyRefusal, meshHostname } from "./mesh-status.ts";

/** What `tailscale up` is asked for. */
export interface UpPlan {
	readonly program: string;
	readonly socket: string;
	readonly env: Readonly<Record<string, string>>;
	readonly controlUrl: string;
	readonly nodeName: string;
	/** The file with the key: its content never stands on a command line. Undefined: the login that is there is used. */
	readonly keyPath: string | undefined;
	/** The client is logged in elsewhere and is to leave that. */
	readonly force: boolean;
	/** The client is the worker's own. */
	readonly own: boolean;
}

/** What came of it. */
export type UpAnswer =
	| { readonly kind: "done" }
	/** The control server refused the key: no retry can help. */
	| { readonly kind: "refused"; readonly why: string }
	| { readonly kind: "failed"; readonly why: string };

/** Without a relay in reach the client never says that it runs, so this ends the wait, and the status tells what it came to (INTEGRATIONS B). */
const upSeconds = 20;
const graceMs = 5_000;

/** Runs `tailscale up`; resolves when it has ended or, after `signal`, was ended. Never rejects. */
export function bringUp(plan: UpPlan, signal: AbortSignal): Promise<UpAnswer> {
	return new Promise((resolve) => {
		const options = { env: plan.env, signal, timeout: upSeconds * 1_000 + graceMs, encoding: "utf8" as const };
		execFile(plan.program, [...upArgs(plan)], options, (error, stdout, stderr) => {
			if (error === null) return resolve({ kind: "done" });
			// With the URL where a person could log in, which is no way for a worker.
			const said = `${stderr}\n${stdout}`.replaceAll(/\s+/g, " ").trim().slice(0, 500);
			const why = said === "" ? (error.message.split("\n")[0] ?? "no reason given") : said;
			resolve({ kind: plan.keyPath !== undefined && isKeyRefusal(said) ? "refused" : "failed", why });
		});
	});
}

/**
 * The command line: all settings at once, and in a client of the worker's own no others linger. Such a client lets nobody in: in userspace
 * it would hand every connection to this host's loopback ports, which trust whoever reaches them.
 */
export function upArgs({ socket, controlUrl, nodeName, keyPath, force, own }: Omit<UpPlan, "program" | "env">): readonly string[] {
	return [
		`--socket=${socket}`,
		"up",
		...(own ? ["--reset"] : []),
		...(keyPath === undefined ? [] : [`--auth-key=file:${keyPath}`]),
		`--login-server=${controlUrl}`,
		`--hostname=${meshHostname(nodeName)}`,
		"--accept-dns=false",
		"--accept-routes=false",
		...(own ? ["--shields-up"] : []),
		...(force ? ["--force-reauth"] : []),
		`--timeout=${upSeconds}s`,
	];
}
