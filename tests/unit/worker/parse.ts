import { parseCommandLine } from "../../../worker/cli.ts";
import { type ParsedConfig, parseConfig } from "../../../worker/config.ts";

/** Reads a command line and its surroundings as the worker does; `files` are those that `_FILE` twins may name. */
export function parse(
	args: readonly string[],
	env: Readonly<Record<string, string>> = {},
	files: Readonly<Record<string, string>> = {},
): ParsedConfig {
	const line = parseCommandLine(args);
	const parsed = parseConfig(line.flags, env, (path) => {
		const text = files[path];
		if (text === undefined) throw new Error("ENOENT: no such file");
		return text;
	});
	return { config: parsed.config, problems: [...line.problems, ...parsed.problems] };
}
