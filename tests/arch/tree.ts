/** The source tree as the architecture checks read it. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";

export const root = join(import.meta.dirname, "..", "..");

export interface SourceFile {
	/** From the project's root, with slashes. */
	readonly path: string;
	readonly text: string;
	/** The text without comments and string contents, for looking at names. */
	readonly code: string;
	/** What it imports from this project, as paths from the root. */
	readonly imports: readonly string[];
}

/** Every TypeScript file below these folders. */
export function sources(...folders: readonly string[]): SourceFile[] {
	return folders.flatMap((folder) =>
		readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
			.filter((entry) => entry.isFile() && /\.tsx?$/.test(entry.name))
			.map((entry) => read(join(entry.parentPath, entry.name))),
	);
}

function read(file: string): SourceFile {
	const text = readFileSync(file, "utf8");
	const imports = [...text.matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)].map((match) =>
		relative(root, join(dirname(file), match[1] ?? "")).replaceAll("\\", "/"),
	);
	return { path: relative(root, file).replaceAll("\\", "/"), text, code: bare(text), imports };
}

function bare(text: string): string {
	return text
		.replace(/\/\*[\s\S]*?\*\//g, "")
		.replace(/(^|[^:"'`\\])\/\/.*$/gm, "$1")
		.replace(/"(?:[^"\\\n]|\\.)*"/g, '""')
		.replace(/'(?:[^'\\\n]|\\.)*'/g, "''");
}
