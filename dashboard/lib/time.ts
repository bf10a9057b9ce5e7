/** Times as people say them. */
import { signal } from "@preact/signals";

/** The time now, to the second, for everything that shows how long ago something was; one timer for the page. */
export const now = signal(Date.now());
setInterval(() => {
	if (!document.hidden) now.value = Date.now();
}, 1_000);
document.addEventListener("visibilitychange", () => {
	now.value = Date.now();
});

const units = [
	["d", 86_400_000],
	["h", 3_600_000],
	["m", 60_000],
	["s", 1_000],
] as const;

/** `now`, `12s ago`, `3h ago`, `in 2d`. Pure. */
export function relative(at: number, from: number): string {
	const distance = Math.abs(from - at);
	if (distance < 1_500) return "now";
	return at <= from ? `${span(distance)} ago` : `in ${span(distance)}`;
}

/** The largest unit that fits: `45s`, `3h`. Pure. */
export function span(ms: number): string {
	for (const [name, size] of units) if (ms >= size) return `${Math.floor(ms / size)}${name}`;
	return "0s";
}

/** The two largest units: `3d 4h`. Pure. */
export function duration(seconds: number): string {
	const ms = seconds * 1_000;
	const index = units.findIndex(([, size]) => ms >= size);
	const [unit, next] = [units[index], units[index + 1]];
	if (unit === undefined) return "0s";
	const rest = Math.floor((ms % unit[1]) / (next?.[1] ?? 1));
	return next === undefined || rest === 0 ? span(ms) : `${span(ms)} ${rest}${next[0]}`;
}

/** Date and time to the second with its zone, in the reader's own. */
export function exact(at: number): string {
	return new Date(at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" });
}
