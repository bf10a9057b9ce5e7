/** Throughput and p99 against load, as one SVG: two panels side by side, a line for each side. */
import type { LoadPoint } from "./enroll-figures.ts";

const [width, height, margin] = [420, 260, 52];
const colours = ["#1f6f8b", "#c8553d", "#5b8c5a"];

/** Draws it. Both axes are logarithmic where values span decades. */
export function plot(points: readonly LoadPoint[]): string {
	const panels = [
		panel(points, "enrollments a second", ({ perSecond }) => perSecond, 0),
		panel(points, "p99, milliseconds", ({ p99 }) => p99, width + margin),
	];
	const total = 2 * width + 3 * margin;
	return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${total} ${height + 2 * margin}" font-family="sans-serif" font-size="12" role="img" aria-label="Enrollments a second and p99 against clients"><title>Enrollments a second and p99 against clients</title><rect width="100%" height="100%" fill="#fff"/>${panels.join("")}</svg>\n`;
}

function panel(points: readonly LoadPoint[], title: string, value: (point: LoadPoint) => number, left: number): string {
	const scale = (values: readonly number[], length: number) => {
		const [low, high] = [Math.log10(Math.min(...values) / 1.3), Math.log10(Math.max(...values) * 1.3)];
		return (at: number) => ((Math.log10(at) - low) / (high - low)) * length;
	};
	const x = scale(
		points.map(({ clients }) => clients),
		width,
	);
	const y = scale(points.map(value), height);
	const place = (point: LoadPoint) => [left + margin + x(point.clients), margin + height - y(value(point))] as const;
	const lines = [...new Set(points.map(({ what }) => what))].map((what, index) => {
		const own = points.filter((point) => point.what === what).sort((one, other) => one.clients - other.clients);
		const colour = colours[index % colours.length];
		const path = own
			.map((point) =>
				place(point)
					.map((number) => number.toFixed(1))
					.join(","),
			)
			.join(" ");
		const dots = own.map((point) => {
			const [cx, cy] = place(point);
			return `<circle cx="${cx.toFixed(1)}" cy="${cy.toFixed(1)}" r="3" fill="${colour}"/><text x="${(cx + 5).toFixed(1)}" y="${(cy - 5).toFixed(1)}" fill="${colour}">${value(point).toFixed(0)}</text>`;
		});
		return `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"/>${dots.join("")}<text x="${left + margin + 8}" y="${margin + 16 + index * 15}" fill="${colour}">${what}</text>`;
	});
	const ticks = [...new Set(points.map(({ clients }) => clients))].map(
		(clients) =>
			`<text x="${(left + margin + x(clients)).toFixed(1)}" y="${margin + height + 16}" text-anchor="middle" fill="#444">${clients}</text>`,
	);
	const frame = `<rect x="${left + margin}" y="${margin}" width="${width}" height="${height}" fill="none" stroke="#bbb"/>`;
	return `${frame}<text x="${left + margin}" y="${margin - 10}" font-weight="bold">${title}</text>${lines.join("")}${ticks.join("")}<text x="${left + margin + width / 2}" y="${margin + height + 34}" text-anchor="middle" fill="#444">clients</text>`;
}
