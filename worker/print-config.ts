import { claimedKind, parseToken } from "../src/protocol/token.ts";
import type { ParsedConfig } from "./config.ts";
import { type SettingName, settingNames, settings } from "./settings.ts";
import type { Found, Origin } from "./values.ts";

/**
 * The text of `--print-config`: the configuration file, then each setting with its value and where that came from. Of a key of ours only its kind
 * and its public part are shown, of any other secret nothing.
 */
export function formatConfig({ found, file }: Pick<ParsedConfig, "found" | "file">): string {
	const rows = settingNames
		.filter((name) => settings[name].help !== "" || found.has(name))
		.map((name) => [settings[name].variable, shownValue(name, found.get(name)), shownOrigin(name, found.get(name), file)] as const);
	const [nameWidth, valueWidth] = [widest(rows.map(([name]) => name)), widest(rows.map(([, value]) => value))];
	const lines = rows.map(([name, value, origin]) => `${name.padEnd(nameWidth)}  ${value.padEnd(valueWidth)}  ${origin}`);
	return [`configuration file: ${file === undefined ? "none" : JSON.stringify(file)}`, ...lines, ""].join("\n");
}

function shownValue(name: SettingName, found: Found | undefined): string {
	const { secret, fallback } = settings[name];
	if (found === undefined) return fallback ?? "-";
	const { text } = found;
	// A key in the wrong place is a secret all the same.
	if (secret || claimedKind(text) !== undefined) return masked(text);
	// Quoted, so that blanks show and control characters do nothing to the terminal. An address is refused with a user in it, but may hold one.
	return JSON.stringify(text.replace(/\/\/[^/@]*@/, "//[secret]@"));
}

function masked(text: string): string {
	const token = parseToken(text);
	// The selector names the key in the API and in the server's log; it proves nothing.
	return token === undefined ? "[secret]" : `mst_${token.kind}_${token.selector}_[secret]`;
}

function shownOrigin(name: SettingName, found: Found | undefined, file: string | undefined): string {
	if (found === undefined) return settings[name].fallback === undefined ? "not set" : "default";
	const { origin } = found;
	const twin = origin.file === undefined ? "" : `file ${JSON.stringify(origin.file)}, by `;
	return twin + (origin.source === "toml" ? `${origin.name} in ${JSON.stringify(file)}` : `${word[origin.source]} ${origin.name}`);
}

const word: Readonly<Record<Exclude<Origin["source"], "toml">, string>> = { flag: "flag", variable: "variable" };

function widest(texts: readonly string[]): number {
	return Math.min(60, Math.max(...texts.map((text) => text.length)));
}
