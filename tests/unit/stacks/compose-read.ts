/** Compose files for tests, and what they come to. */
import { readCompose } from "../../../src/stacks/compose.ts";

/** What a file comes to; throws with its problems. */
export function read(source: string, environment: Readonly<Record<string, string>> = {}) {
	const found = readCompose(source, "shop", new Map(Object.entries(environment)));
	if (found.kind === "problems") throw new Error(JSON.stringify(found.problems));
	return found.model;
}
/** What is wrong with it: `path message`. */
export function wrongs(source: string, environment: Readonly<Record<string, string>> = {}): string[] {
	const found = readCompose(source, "shop", new Map(Object.entries(environment)));
	return found.kind === "problems" ? found.problems.map(({ path, message }) => `${path} ${message}`) : [];
}
/** One service `web` with these lines, and what else the file has. */
export const file = (lines: string, rest = "") => `services:\n  web:\n    image: app:1\n${lines.replace(/^/gm, "    ")}\n${rest}`;
/** That service. */
export const web = (lines: string, rest = "", environment: Readonly<Record<string, string>> = {}) => {
	const [service] = read(file(lines, rest), environment).services;
	if (service === undefined) throw new Error("no service");
	return service;
};
