/** The command line of `npm run deploy-worker`. */

/** How a host runs its worker. */
export const modes = ["systemd", "docker-image"] as const;
export type Mode = (typeof modes)[number];

/** What was asked for. */
export interface Options {
	readonly host: string;
	/** Undefined: what ssh's configuration says. */
	readonly user: string | undefined;
	readonly port: number | undefined;
	readonly identity: string | undefined;
	/** Another file than ~/.ssh/config. */
	readonly sshConfig: string | undefined;
	readonly mode: Mode | undefined;
	/** What the unit, or the container, is called: letters, digits and `_.@-`, so that it means itself to every shell. */
	readonly name: string;
	/** Where the worker's binary lies on the host, or in the container; undefined: where the unit or the container says. */
	readonly binary: string | undefined;
	/** A finished binary to deploy; undefined: one built from this checkout. */
	readonly from: string | undefined;
	/** The server that is asked whether it hears the new worker; undefined: none is. */
	readonly url: string | undefined;
	readonly token: string | undefined;
	readonly tokenFile: string | undefined;
	/** The worker's id; undefined: as the host keeps it. */
	readonly worker: string | undefined;
	readonly timeoutSeconds: number;
	readonly dryRun: boolean;
}

/** A command line as read: help, problems (every one of them, a line each), or options. */
export type Parsed =
	| { readonly kind: "help" }
	| { readonly kind: "problems"; readonly problems: readonly string[] }
	| { readonly kind: "options"; readonly options: Options };

const flags = [
	["--host", "H", "the host to deploy to (required)"],
	["--user", "U", "who to log in as: root, or one who may use sudo without a password (default: ssh's own)"],
	["--port", "N", "ssh's port (default: ssh's own)"],
	["--identity", "FILE", "ssh's private key (default: ssh's own, or the agent's)"],
	["--ssh-config", "FILE", "ssh's configuration (default: ~/.ssh/config); host keys are checked as it says"],
	["--mode", "systemd|docker-image", "what runs the worker there; needed when both do"],
	["--name", "NAME", "what the unit or the container is called there (default: muster-worker)"],
	["--binary", "PATH", "where the binary lies there (default: as the unit or the container says)"],
	["--from", "FILE", "deploy this binary (default: built from this checkout for the host's platform)"],
	["--url", "URL", "wait until this server hears the restarted worker; needs --token or --token-file"],
	["--token", "JWT", "a viewer's token for it, as npm run token prints; other users can see it in the list of processes"],
	["--token-file", "FILE", "a file that holds the token"],
	["--worker", "ID", "the worker's id (default: as the host keeps it)"],
	["--timeout", "SECONDS", "how long to wait for the restarted worker before the former one is put back (default: 120)"],
] as const;
const dryRunFlag = "--dry-run";
const timeoutSecondsDefault = 120;
const timeoutSecondsMax = 3600;

/** The text of `--help`. */
export function helpText(): string {
	const rows = [...flags, [dryRunFlag, "", "say what would be done, and do none of it"] as const];
	return [
		"Usage: npm run deploy-worker -- --host H [--user U] [flags]",
		"",
		"Brings the worker on a host up to date over ssh: builds it for the host's platform, copies it, restarts what runs it (systemd or Docker),",
		"waits until the server hears it, and puts the former one back when it does not come.",
		"",
		...rows.map(([flag, placeholder, help]) => `  ${`${flag} ${placeholder}`.padEnd(30)} ${help}`),
		"",
		"Exit codes: 0 done; 1 the new worker did not come up, the former one was put back; 64 the command line; 69 the host or the server cannot be",
		"reached; 70 it failed, see what it says; 77 no right to; 78 the host is not as this needs it.",
		"",
	].join("\n");
}

/** Reads the arguments. Pure: reports every problem at once, never throws. */
export function parseOptions(args: readonly string[]): Parsed {
	const problems: string[] = [];
	const given = new Map<string, string>();
	for (let index = 0; index < args.length; index++) {
		const arg = args[index] ?? "";
		if (arg === "--help" || arg === "-h") return { kind: "help" };
		const equals = arg.startsWith("--") ? arg.indexOf("=") : -1;
		const flag = equals < 0 ? arg : arg.slice(0, equals);
		if (given.has(flag)) problems.push(`Cannot use ${flag} twice: give it once`);
		if (flag === dryRunFlag && equals < 0) {
			given.set(flag, "yes");
			continue;
		}
		if (!flags.some(([name]) => name === flag)) {
			problems.push(`Unknown argument "${arg}": see npm run deploy-worker -- --help`);
			continue;
		}
		const next = args[index + 1];
		const value = equals < 0 ? (next?.startsWith("--") === true ? undefined : next) : arg.slice(equals + 1);
		if (equals < 0 && value !== undefined) index++;
		if (value === undefined || value === "") problems.push(`Cannot use ${flag} without a value: give one`);
		else if (value.includes("\0")) problems.push(`Cannot use ${flag} with a NUL character in it`);
		else given.set(flag, value);
	}
	const options = toOptions(given, problems);
	return problems.length > 0 ? { kind: "problems", problems } : { kind: "options", options };
}

function toOptions(given: ReadonlyMap<string, string>, problems: string[]): Options {
	const text = (flag: (typeof flags)[number][0]) => given.get(flag);
	const host = text("--host") ?? "";
	if (host === "" && problems.length === 0) problems.push("No host is given: use --host H");
	if (host.includes("@")) problems.push(`Cannot use --host "${host}": give the user with --user`);
	const mode = modes.find((known) => known === text("--mode"));
	if (text("--mode") !== undefined && mode === undefined) {
		problems.push(`Cannot use --mode "${text("--mode")}": it is ${modes.join(" or ")}`);
	}
	const name = text("--name") ?? "muster-worker";
	if (!/^[A-Za-z0-9][\w.@-]*$/.test(name)) problems.push(`Cannot use --name "${name}": letters, digits, "_", ".", "@" and "-" only`);
	const binary = text("--binary");
	if (binary !== undefined && (!binary.startsWith("/") || binary.endsWith("/"))) {
		problems.push(`Cannot use --binary "${binary}": give the file's absolute path`);
	}
	const url = text("--url");
	if (url !== undefined && !isHttp(url)) problems.push(`Cannot use --url "${url}": give one as in http://server:7480`);
	const tokens = [text("--token"), text("--token-file")].filter((token) => token !== undefined);
	if (tokens.length > 1) problems.push("Cannot use --token and --token-file together: give one");
	if (url !== undefined && tokens.length === 0) problems.push("Cannot use --url without a token: give --token or --token-file");
	if (url === undefined && tokens.length > 0) problems.push("Cannot use a token without --url: give the server's URL");
	return {
		host,
		user: text("--user"),
		port: wholeNumber("--port", text("--port"), 65_535, problems),
		identity: text("--identity"),
		sshConfig: text("--ssh-config"),
		mode,
		name,
		binary,
		from: text("--from"),
		url: url?.replace(/\/+(graphql)?$/, ""),
		token: text("--token"),
		tokenFile: text("--token-file"),
		worker: text("--worker"),
		timeoutSeconds: wholeNumber("--timeout", text("--timeout"), timeoutSecondsMax, problems) ?? timeoutSecondsDefault,
		dryRun: given.has(dryRunFlag),
	};
}

function wholeNumber(flag: string, text: string | undefined, max: number, problems: string[]): number | undefined {
	if (text === undefined) return undefined;
	const value = Number(text);
	if (!/^\d+$/.test(text) || value < 1 || value > max)
		problems.push(`Cannot use ${flag} "${text}": give a whole number between 1 and ${max}`);
	return value;
}

function isHttp(text: string): boolean {
	return URL.canParse(text) && ["http:", "https:"].includes(new URL(text).protocol);
}
