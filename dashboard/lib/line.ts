/** The path of a line through points from left to right; gaps (null) break it. Pure. */
export function linePath(values: readonly (number | null)[], width: number, height: number, top: number): string {
	const step = values.length < 2 ? 0 : width / (values.length - 1);
	let pen = "M";
	const parts: string[] = [];
	for (const [index, value] of values.entries()) {
		if (value === null) {
			pen = "M";
			continue;
		}
		const y = top === 0 ? height : height - (Math.min(value, top) / top) * height;
		parts.push(`${pen}${(index * step).toFixed(1)} ${y.toFixed(1)}`);
		pen = "L";
	}
	return parts.join("");
}
