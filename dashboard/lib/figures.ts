/** Numbers as people read them. All pure. */

/** `1,234`. */
export function whole(value: number): string {
	return Math.round(value).toLocaleString("en");
}

/** `3.4 GiB`. */
export function bytes(value: number): string {
	const names = ["B", "KiB", "MiB", "GiB", "TiB"];
	const power = value < 1 ? 0 : Math.min(names.length - 1, Math.floor(Math.log2(value) / 10));
	const size = value / 1_024 ** power;
	return `${size.toFixed(size < 10 && power > 0 ? 1 : 0)} ${names[power]}`;
}

/** `0.42`. */
export function load(value: number): string {
	return value.toFixed(2);
}

/** An image's id as Docker shows it, twelve digits; names stay as they are. */
export function shortId(text: string): string {
	return text.replace(/^sha256:([0-9a-f]{12})[0-9a-f]+$/, "$1");
}
