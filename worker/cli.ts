import { exitCodes } from "../src/protocol/codes.ts";
import { flagOf, settingNames, settings } from "./settings.ts";
import { suggest } from "./suggest.ts";

/** What the command line asks for. */
export type Command =
	| { readonly kind: "run" }
	/** `run --print-config`: says what it would run with, and ends. */
	| { readonly kind: "print-config" }
	| { readonly kind: "enroll"; readonly timeoutSeconds: number }
	| { readonly kind: "status"; readonly format: "text" | "json" }
	| { readonly kind: "doctor" }
	| { readonly kind: "version" }
	| { readonly kind: "help" };

/** A command line as read: settings still as texts, by variable name (`MUSTER_URL`, `MUSTER_URL_FILE`). */
export interface CommandLine {
	readonly command: Command;
	readonly flags: Readonly<Record<string, string>>;
	/** The TOML file that `--config` names; undefined: the usual places. */
	readonly configPath: string | undefined;
	/** Everything wrong with it, one line each; the rest is not to be used unless this is empty. */
	readonly problems: readonly string[];
}

const commands = ["run", "enroll", "status", "doctor", "version", "help"] as const;
type CommandName = (typeof commands)[number];
const defaultTimeoutSeconds = 60;

/** Every flag that stands for a setting, with its variable. */
const settingFlags: ReadonlyMap<string, string> = new Map(
	settingNames.flatMap((name) => {
		const { variable, twin } = settings[name];
		const own: [string, string][] = [[flagOf(variable), variable]];
		return twin ? [...own, [`${flagOf(variable)}-file`, `${variable}_FILE`]] : own;
	}),
);
/** Flags of one command only. */
const commandFlags: Readonly<Record<string, CommandName>> = { "--timeout": "enroll", "--format": "status", "--print-config": "run" };
const configFlag = "--config";
const printConfigFlag = "--print-config";

/** Reads the arguments after the program's name. Pure: reports every problem at once, never throws. */
export function parseCommandLine(args: readonly string[]): CommandLine {
	const problems: string[] = [];
	const given = new Map<string, string>();
	const words: string[] = [];
	for (let index = 0; index < args.length; index++) {
		const arg = args[index] ?? "";
		if (arg === "-h" || arg === "--help") return { command: { kind: "help" }, ...nothing };
		if (arg === "--version") return { command: { kind: "version" }, ...nothing };
		if (!arg.startsWith("-")) {
			words.push(arg);
			continue;
		}
		if (arg === printConfigFlag) {
			given.set(printConfigFlag, "yes");
			continue;
		}
		const [flag, inline] = splitFlag(arg);
		const next = args[index + 1];
		const value = inline ?? (next === undefined || next.startsWith("--") || next === "-h" ? undefined : next);
		if (inline === undefined && value !== undefined) index++;
		takeFlag(flag, value, given, problems);
	}
	const name = readCommand(words, problems);
	for (const [flag, owner] of Object.entries(commandFlags)) {
		if (given.has(flag) && owner !== name) problems.push(`Cannot use ${flag} with "${name}": it belongs to "${owner}"`);
	}
	const flags = Object.fromEntries([...given].flatMap(([flag, value]) => pairs(settingFlags.get(flag), value)));
	return { command: toCommand(name, given, problems), flags, configPath: given.get(configFlag), problems };
}

const nothing = { flags: {}, configPath: undefined, problems: [] } as const;

/** The text of `--help`. */
export function helpText(version: string): string {
	const rows = settingNames
		.filter((name) => settings[name].help !== "")
		.map((name) => {
			const { variable, placeholder, help } = settings[name];
			return `  ${`${flagOf(variable)} ${placeholder}`.padEnd(30)} ${variable.padEnd(27)} ${help}`;
		});
	return [
		`muster-worker ${version}: enrolls this host with a Muster server and reports to it`,
		"",
		"Usage: muster-worker [command] [flags]",
		"",
		"  run (default)                  enroll if needed, then report until stopped",
		"  enroll [--timeout SECONDS]     enroll once, then exit; waits 60 seconds at most unless told",
		"  status [--format text|json]    whether this host is enrolled; exits 0 if so, 1 if not",
		"  doctor                         check this host's way to the server, one line each with its remedy; exits 0 if all is well",
		"  version                        print the version",
		"",
		"  --config PATH                  the configuration file (default: ~/.muster/config.toml, else /etc/muster/worker.toml, if there is one)",
		"  --print-config                 print every setting with its value and where that came from, and exit",
		"",
		'Flags beat variables, and these beat the configuration file: TOML, its keys are the flags without dashes, as in worker_name = "edge-1".',
		"Each has a twin that names a file with the value: --url-file PATH, MUSTER_URL_FILE, url_file. SIGHUP makes run read it all again.",
		"",
		...rows,
		"",
		"Exit codes:",
		...exitCodeTable.map(([code, meaning]) => `  ${String(code).padEnd(4)} ${meaning}`),
		"",
	].join("\n");
}

/** What each exit code of the worker means (A16); README and `--help` show the same table. */
export const exitCodeTable: readonly (readonly [number, string])[] = [
	[exitCodes.ok, "stopped by SIGTERM or SIGINT; or the command did what was asked"],
	[1, "status: this host is not enrolled; doctor: a check failed"],
	[exitCodes.usage, "the server finds the request malformed (bad_request)"],
	[exitCodes.software, "a fault of the worker: please report it"],
	[exitCodes.cannotCreate, "the state directory cannot be made, is not private, or cannot be written"],
	[exitCodes.ioError, "the kept id and key do not belong together, or another machine uses the same identity"],
	[exitCodes.temporary, "another worker uses the state directory; or enroll ran out of time"],
	[exitCodes.noPermission, "the server refused for good: the key, or the credential"],
	[exitCodes.config, "the configuration is wrong or incomplete"],
];

function splitFlag(arg: string): readonly [string, string | undefined] {
	const equals = arg.indexOf("=");
	return equals < 0 ? [arg, undefined] : [arg.slice(0, equals), arg.slice(equals + 1)];
}

function takeFlag(flag: string, value: string | undefined, given: Map<string, string>, problems: string[]): void {
	if (flag === printConfigFlag) {
		problems.push(`Cannot use ${flag} with a value: give it alone`);
	} else if (!settingFlags.has(flag) && commandFlags[flag] === undefined && flag !== configFlag) {
		const meant = suggest(flag, [...settingFlags.keys(), ...Object.keys(commandFlags), configFlag, "--help", "--version"]);
		problems.push(`Unknown flag "${flag}"${meant === undefined ? ": see muster-worker --help" : `: did you mean ${meant}?`}`);
	} else if (given.has(flag)) {
		problems.push(`Cannot use ${flag} twice: give it once`);
	} else if (value === undefined || value === "") {
		problems.push(`Cannot use ${flag} without a value: give one, as in ${flag} VALUE`);
	} else {
		given.set(flag, value);
	}
}

function readCommand(words: readonly string[], problems: string[]): CommandName {
	const [word = "run", ...more] = words;
	for (const extra of more) problems.push(`Unexpected argument "${extra}": give one command, then flags`);
	const name = commands.find((known) => known === word);
	if (name !== undefined) return name;
	const meant = suggest(word, commands);
	problems.push(`Unknown command "${word}": ${meant === undefined ? `the commands are ${commands.join(", ")}` : `did you mean ${meant}?`}`);
	return "run";
}

function toCommand(name: CommandName, given: ReadonlyMap<string, string>, problems: string[]): Command {
	switch (name) {
		case "enroll": {
			const text = given.get("--timeout") ?? String(defaultTimeoutSeconds);
			const timeoutSeconds = Number(text);
			if (!/^\d+(\.\d+)?$/.test(text) || timeoutSeconds <= 0 || timeoutSeconds > 86_400) {
				problems.push(`Cannot use --timeout "${text}": give seconds between 1 and 86400`);
			}
			return { kind: "enroll", timeoutSeconds };
		}
		case "status": {
			const format = given.get("--format") ?? "text";
			if (format !== "text" && format !== "json") problems.push(`Cannot use --format "${format}": it is text or json`);
			return { kind: "status", format: format === "json" ? "json" : "text" };
		}
		case "run":
			return { kind: given.has(printConfigFlag) ? "print-config" : "run" };
		default:
			return { kind: name };
	}
}

function pairs(variable: string | undefined, value: string): [string, string][] {
	return variable === undefined ? [] : [[variable, value]];
}
