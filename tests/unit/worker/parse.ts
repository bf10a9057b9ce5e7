import { parseCommandLine } from "../../../worker/cli.ts";
import { type ParsedConfig, parseConfig } from "../../../worker/config.ts";
import { readToml } from "../../../worker/toml.ts";

/** Reads a command line and its surroundings as the worker does; `files` are those that `_FILE` twins may name, `toml` is the text of /worker.toml. */
export function parse(
	args: readonly string[],
	env: Readonly<Record<string, string>> = {},
	files: Readonly<Record<string, string>> = {},
	toml?: string,
): ParsedConfig {
	const line = parseCommandLine(args);
	const readFile = (path: string) => {
		const text = files[path];
		if (text === undefined) throw new Error("ENOENT: no such file");
		return text;
	};
	const parsed = parseConfig(line.flags, env, readFile, toml === undefined ? undefined : readToml("/worker.toml", toml, 0o600));
	return { ...parsed, problems: [...line.problems, ...parsed.problems] };
}
