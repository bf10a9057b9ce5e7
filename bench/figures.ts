/** The arithmetic of measurements. Pure. */

/** The value below which this share of the sorted values lies; NaN of none. */
export function percentile(sorted: readonly number[], share: number): number {
	return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** The middle one. */
export function median(values: readonly number[]): number {
	return percentile(
		[...values].sort((left, right) => left - right),
		0.5,
	);
}
