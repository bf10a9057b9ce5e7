/** A line of figures over time, small enough to stand in a row. */
import { linePath } from "../lib/line.ts";

/** Draws it; `label` is what a screen reader says. */
export function Sparkline({
	values,
	label,
	top,
	tone = "line",
}: {
	readonly values: readonly (number | null)[];
	readonly label: string;
	/** The figure at the upper edge; the largest one when left out. */
	readonly top?: number;
	readonly tone?: string;
}) {
	const [width, height] = [240, 40];
	const highest = top ?? Math.max(...values.map((value) => value ?? 0), 0) * 1.15;
	const line = linePath(values, width, height - 2, highest);
	const isWhole = !values.includes(null) && values.length > 1;
	return (
		<svg class={`spark ${tone}`} viewBox={`0 -1 ${width} ${height}`} preserveAspectRatio="none" role="img" aria-label={label}>
			<line class="ground" x1="0" x2={width} y1={height - 2} y2={height - 2} />
			{isWhole ? <path class="area" d={`${line}L${width} ${height - 2}L0 ${height - 2}Z`} /> : null}
			<path class="stroke" d={line} />
		</svg>
	);
}
