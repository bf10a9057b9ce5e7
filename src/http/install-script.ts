/** `/install.sh`: the script that installs a worker from this server (install.sh and the two service files beside this one), with the server's URL filled in. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { problem } from "./respond.ts";

/** A name or address with a port, and nothing that means something to a shell. */
const plainHost = /^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?$/;

/** Answers `/install.sh`; undefined for other paths. The script is read once, when it is first asked for. */
export function createInstallScript(publicUrl: () => string): (request: Request, pathname: string) => Promise<Response> | undefined {
	let template: Promise<string> | undefined;

	async function load(): Promise<string> {
		const asset = (name: string) => readFile(join(import.meta.dirname, name), "utf8");
		const [script = "", unit = "", init = ""] = await Promise.all(
			["install.sh", "muster-worker.service", "muster-worker.openrc"].map(asset),
		);
		// In here-documents that expand nothing.
		return script.replace("@UNIT@\n", () => unit).replace("@INIT@\n", () => init);
	}

	async function answer(request: Request): Promise<Response> {
		if (request.method !== "GET" && request.method !== "HEAD") {
			return problem(405, "METHOD_NOT_ALLOWED", "The install script is asked for with GET", { allow: "GET, HEAD" });
		}
		template ??= load();
		// In single quotes there. `askedAt` lets no quote through.
		const script = (await template).replace("@MUSTER_URL@", () => askedAt(request.headers, publicUrl()));
		// Another client may have come by another address.
		const headers = { "content-type": "text/x-shellscript; charset=utf-8", "cache-control": "no-store" };
		return new Response(request.method === "HEAD" ? null : script, { headers });
	}

	return (request, pathname) => (pathname === "/install.sh" ? answer(request) : undefined);
}

/**
 * The URL at which this client reached us, since that one works for it; the public URL when it is that host, or when the client names none
 * that may stand in a script. Whoever sends wrong headers gets a wrong script, nobody else does.
 */
export function askedAt(headers: Headers, publicUrl: string): string {
	const safe = new URL(publicUrl).href.replaceAll("'", "%27").replace(/\/+$/, "");
	const host = headers.get("host") ?? "";
	if (!plainHost.test(host) || new URL(safe).host === host.toLowerCase()) return safe;
	return `${headers.get("x-forwarded-proto") === "https" ? "https" : "http"}://${host}`;
}
