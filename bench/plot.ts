/** Throughput and p99 against load, as one SVG: two panels side by side, a line for each side. Both axes are logarithmic. */
import type { LoadPoint } from "./enroll-figures.ts";

const [width, height, left, top, between] = [400, 260, 62, 74, 84];
const colours: readonly string[] = ["#1f6f8b", "#c8553d", "#5b8c5a"];
const [ink, faint, line] = ["#333", "#666", "#e3e3e3"];

/** Draws it. */
export function plot(points: readonly LoadPoint[]): string {
	const sides = [...new Set(points.map(({ what }) => what))];
	const panels = [
		panel(points, sides, "Throughput", "enrollments a second", ({ perSecond }) => perSecond, left),
		panel(points, sides, "Time of an answer", "p99, milliseconds", ({ p99 }) => p99, left + width + between),
	];
	const [total, high] = [left + 2 * width + between + 24, top + height + 52];
	return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${total} ${high}" font-family="sans-serif" font-size="12" role="img" aria-label="Enrollments a second and p99 against clients"><title>Enrollments a second and p99 against clients</title><rect width="100%" height="100%" fill="#fff"/>${legend(sides)}${panels.join("")}</svg>\n`;
}

function legend(sides: readonly string[]): string {
	return sides
		.map((what, index) => {
			const x = left + index * 170;
			return `<line x1="${x}" x2="${x + 24}" y1="22" y2="22" stroke="${colour(index)}" stroke-width="2"/><circle cx="${x + 12}" cy="22" r="3.5" fill="${colour(index)}"/>${text(x + 32, 26, what, ink)}`;
		})
		.join("");
}

function panel(
	points: readonly LoadPoint[],
	sides: readonly string[],
	title: string,
	unit: string,
	value: (point: LoadPoint) => number,
	from: number,
): string {
	const x = scale(
		points.map(({ clients }) => clients),
		width,
	);
	const y = scale(points.map(value), height);
	const place = (point: LoadPoint) => [from + x.at(point.clients), top + height - y.at(value(point))] as const;
	const columns = [...new Set(points.map(({ clients }) => clients))].map((clients) => {
		const at = from + x.at(clients);
		return `<line x1="${fixed(at)}" x2="${fixed(at)}" y1="${top}" y2="${top + height}" stroke="${line}"/>${text(at, top + height + 16, clients.toLocaleString("en"), faint, "middle")}`;
	});
	const rows = ticks(y.low, y.high).map((amount) => {
		const at = top + height - y.at(amount);
		return `<line x1="${from}" x2="${from + width}" y1="${fixed(at)}" y2="${fixed(at)}" stroke="${line}"/>${text(from - 6, at + 4, amount.toLocaleString("en"), faint, "end")}`;
	});
	const lines = sides.map((what, index) => {
		const own = points.filter((point) => point.what === what).sort((one, other) => one.clients - other.clients);
		const path = own.map((point) => place(point).map(fixed).join(",")).join(" ");
		const dots = own.map((point) => {
			const [cx, cy] = place(point);
			const label = `${what}, ${point.clients} clients: ${Number(value(point).toPrecision(3)).toLocaleString("en")} ${unit}`;
			return `<circle cx="${fixed(cx)}" cy="${fixed(cy)}" r="3.5" fill="${colour(index)}"><title>${label}</title></circle>`;
		});
		return `<polyline points="${path}" fill="none" stroke="${colour(index)}" stroke-width="2"/>${dots.join("")}`;
	});
	const frame = `<path d="M${from} ${top}V${top + height}H${from + width}" fill="none" stroke="${faint}"/>`;
	const words = `<text x="${from}" y="${top - 14}" fill="${ink}"><tspan font-weight="bold">${title}</tspan> (${unit})</text>${text(from + width / 2, top + height + 38, "clients at once", faint, "middle")}`;
	return [...columns, ...rows, frame, ...lines, words].join("");
}

/** From a value to its place along an axis of this length. */
function scale(values: readonly number[], length: number) {
	const [low, high] = [Math.min(...values) / 1.4, Math.max(...values) * 1.4];
	const span = Math.log10(high / low);
	return { low, high, at: (value: number) => (Math.log10(value / low) / span) * length };
}

/** 1, 2 and 5 of each decade between; 1 alone where the axis spans more than three. */
function ticks(low: number, high: number): number[] {
	const steps = high / low > 1_000 ? [1] : [1, 2, 5];
	const found: number[] = [];
	for (let decade = Math.floor(Math.log10(low)); decade <= Math.log10(high); decade++) {
		for (const step of steps) {
			const value = Number((step * 10 ** decade).toPrecision(1));
			if (value >= low && value <= high) found.push(value);
		}
	}
	return found;
}

const fixed = (value: number) => value.toFixed(1);
const colour = (index: number) => colours[index % colours.length] ?? ink;

function text(x: number, y: number, words: string, fill: string, anchor = "start"): string {
	return `<text x="${fixed(x)}" y="${fixed(y)}" fill="${fill}" text-anchor="${anchor}">${words}</text>`;
}
