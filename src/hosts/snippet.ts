/** How a host's worker is to be installed (H1). */
export const snippetFormats = ["DOCKER", "SHELL", "COMPOSE"] as const;
export type SnippetFormat = (typeof snippetFormats)[number];

/** What a snippet is filled in with. */
export interface SnippetFacts {
	/** Where the worker enrolls. */
	readonly url: string;
	/** Where it goes afterwards, when that is elsewhere. */
	readonly serverAddress: string | null;
	readonly token: string;
	/** Null when the server has none: the snippet then says what to do first. */
	readonly sharedSecret: string | null;
	readonly nodeName: string;
	/** Whether the server lets its hosts onto a mesh. */
	readonly mesh: boolean;
}

/** The image that the worker's Dockerfile builds. */
const image = "muster-worker:latest";
const notConfigured =
	"# Host tokens are not configured on this server: set MUSTER_SHARED_SECRET there, restart it, and regenerate this host's token";

/** Writes the install snippet with every field filled in and quoted for the place it is pasted into: a POSIX shell, or a compose file. Pure. */
export function installSnippet(format: SnippetFormat, facts: SnippetFacts): string {
	const variables: Variables = [
		["MUSTER_URL", facts.url],
		...(facts.serverAddress === null ? [] : [["MUSTER_SERVER_ADDR", facts.serverAddress] as const]),
		["MUSTER_ENROLL_TOKEN", facts.token],
		["MUSTER_SHARED_SECRET", facts.sharedSecret ?? ""],
		["MUSTER_NODE_NAME", facts.nodeName],
		// The worker's default, said aloud: then a host without Tailscale is told before its one-use token is spent (H7).
		...(facts.mesh ? [["MUSTER_MESH_MODE", "userspace"] as const] : []),
	];
	return `${facts.sharedSecret === null ? `${notConfigured}\n` : ""}${snippetOf(format, facts.url, variables)}`;
}

/** The same for a worker that comes with an enrollment key, which needs no shared secret (B1). Pure. */
export function keySnippet(
	format: SnippetFormat,
	facts: Pick<SnippetFacts, "url"> & { readonly key: string; readonly name: string },
): string {
	return snippetOf(format, facts.url, [
		["MUSTER_URL", facts.url],
		["MUSTER_ENROLL_TOKEN", facts.key],
		["MUSTER_WORKER_NAME", facts.name],
	]);
}

type Variables = readonly (readonly [name: string, value: string])[];

function snippetOf(format: SnippetFormat, url: string, variables: Variables): string {
	const lines: string[] = [];
	switch (format) {
		case "DOCKER":
			lines.push(
				"docker run --detach --name muster-worker --restart unless-stopped \\",
				"  --volume muster-worker:/var/lib/muster \\",
				...variables.map(([name, value]) => `  --env ${name}=${shellQuoted(value)} \\`),
				`  ${image}`,
			);
			break;
		case "SHELL":
			// The secrets go through the pipe: sudo logs command lines, and anybody on the machine can list them.
			lines.push(
				"{ cat <<'MUSTER'",
				...variables.map(([name, value]) => `export ${name}=${shellQuoted(value)}`),
				"MUSTER",
				`curl -fsSL ${shellQuoted(`${url}/install.sh`)} || echo 'echo "The install script could not be downloaded" >&2; exit 1'`,
				"} | sudo sh",
			);
			break;
		case "COMPOSE":
			lines.push(
				"services:",
				"  muster-worker:",
				`    image: ${image}`,
				"    restart: unless-stopped",
				"    environment:",
				...variables.map(([name, value]) => `      ${name}: ${composeQuoted(value)}`),
				"    volumes:",
				"      - muster-worker:/var/lib/muster",
				"volumes:",
				"  muster-worker: {}",
			);
			break;
	}
	return `${lines.join("\n")}\n`;
}

/** One word of a POSIX shell, whatever the text holds. */
export function shellQuoted(text: string): string {
	return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** A YAML double-quoted scalar (JSON strings are), with `$` doubled since compose fills in variables. */
function composeQuoted(text: string): string {
	return JSON.stringify(text).replaceAll("$", "$$$$");
}
