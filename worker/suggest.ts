/** The candidate nearest to a mistyped name, or undefined when none is near enough to be what was meant. */
export function suggest(name: string, candidates: readonly string[]): string | undefined {
	// One slip in a short name, two in a longer one: beyond that a suggestion misleads more often than it helps.
	const limit = name.length < 6 ? 1 : 2;
	let best: { readonly candidate: string; readonly distance: number } | undefined;
	for (const candidate of candidates) {
		const distance = editDistance(name, candidate);
		if (distance <= limit && (best === undefined || distance < best.distance)) best = { candidate, distance };
	}
	return best?.candidate;
}

/** How many letters must be put in, left out, exchanged or swapped with their neighbour to turn one text into the other. */
export function editDistance(left: string, right: string): number {
	let before: readonly number[] = [];
	let row: readonly number[] = Array.from({ length: right.length + 1 }, (_, index) => index);
	for (let i = 1; i <= left.length; i++) {
		const next = [i];
		for (let j = 1; j <= right.length; j++) {
			const exchanged = at(row, j - 1) + (left[i - 1] === right[j - 1] ? 0 : 1);
			const crossed = left[i - 1] === right[j - 2] && left[i - 2] === right[j - 1];
			const swapped = i > 1 && j > 1 && crossed ? at(before, j - 2) + 1 : Number.POSITIVE_INFINITY;
			next.push(Math.min(exchanged, swapped, at(row, j) + 1, at(next, j - 1) + 1));
		}
		[before, row] = [row, next];
	}
	return at(row, right.length);
}

function at(row: readonly number[], index: number): number {
	return row[index] ?? Number.POSITIVE_INFINITY;
}
