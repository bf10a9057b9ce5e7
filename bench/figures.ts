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

/** What one question came to. */
export interface Figure {
	readonly name: string;
	readonly value: number;
	readonly bar?: number;
	readonly stretch?: number;
	/** Whether less is better. */
	readonly less?: boolean;
	readonly detail?: Readonly<Record<string, number>>;
}

/** How a figure stands to its bar; empty without one. */
export function standing({ value, bar, stretch, less = false }: Figure): "" | "missed" | "met" | "stretch" {
	if (bar === undefined) return "";
	const reaches = (mark: number) => (less ? value <= mark : value >= mark);
	if (stretch !== undefined && reaches(stretch)) return "stretch";
	return reaches(bar) ? "met" : "missed";
}
