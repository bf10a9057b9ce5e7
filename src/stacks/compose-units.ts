import { type At, shown, text, wrong } from "./compose-at.ts";

const units: Readonly<Record<string, number>> = { ns: 1, us: 1e3, µs: 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3_600e9 };

/** A span as `1m30s`, `500ms` or `1.5h`, in nanoseconds; a bare 0 too. At most a day. */
export function nanoseconds(at: At): number | undefined {
	const written = text(at);
	if (written === undefined) return undefined;
	if (written === "0") return 0;
	const parts = [...written.matchAll(/(\d{1,9}(?:\.\d{1,9})?)(ns|us|µs|ms|s|m|h)/g)];
	const total = Math.round(parts.reduce((sum, [, number, unit]) => sum + Number(number) * (units[unit ?? ""] ?? 0), 0));
	if (parts.length === 0 || parts.map(([all]) => all).join("") !== written || total > 86_400e9)
		return wrong(at, `is ${shown(written)}, and has to be a span of at most a day such as 30s or 1m30s`);
	return total;
}

/** A span in whole seconds, rounded up. */
export function seconds(at: At): number | undefined {
	const found = nanoseconds(at);
	return found === undefined ? undefined : Math.ceil(found / 1e9);
}

const sizes: Readonly<Record<string, number>> = { "": 1, b: 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 };

/** A size as `64m`, `1gb` or a number of bytes. */
export function bytes(at: At): number | undefined {
	const written = text(at);
	if (written === undefined) return undefined;
	const [, number = "", unit = ""] = /^(\d{1,15})(b|k|m|g)?b?$/i.exec(written.trim()) ?? [];
	const total = number === "" ? Number.NaN : Number(number) * (sizes[unit.toLowerCase()] ?? Number.NaN);
	return Number.isSafeInteger(total) ? total : wrong(at, `is ${shown(written)}, and has to be a size such as 64m or 1g`);
}

/** Splits a command line into words as a shell does: quotes and backslashes, no variables, no globs. A quote left open is a problem. */
export function words(at: At, line: string): string[] | undefined {
	const found: string[] = [];
	let word: string | undefined;
	for (let index = 0; index < line.length; index++) {
		const char = line.charAt(index);
		if (/\s/.test(char)) {
			if (word !== undefined) found.push(word);
			word = undefined;
		} else if (char === "'") {
			const end = line.indexOf("'", index + 1);
			if (end < 0) return wrong(at, "has a ' without its end: close it");
			word = (word ?? "") + line.slice(index + 1, end);
			index = end;
		} else if (char === '"') {
			word ??= "";
			for (index++; line[index] !== '"'; index++) {
				if (index >= line.length) return wrong(at, 'has a " without its end: close it');
				if (line[index] === "\\" && /["\\$`]/.test(line.charAt(index + 1))) index++;
				word += line.charAt(index);
			}
		} else if (char === "\\") {
			index++;
			word = (word ?? "") + line.charAt(index);
		} else word = (word ?? "") + char;
	}
	if (word !== undefined) found.push(word);
	return found;
}
