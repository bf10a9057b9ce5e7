/** A key and value that people group workers by. */
export interface Label {
	readonly key: string;
	readonly value: string;
}

/** Labels as they are stored: one object, a later duplicate wins. */
export function labelsToJson(labels: readonly Label[]): Record<string, string> {
	return Object.fromEntries(labels.map(({ key, value }) => [key, value]));
}

/** Labels as the API shows them, sorted by key. */
export function labelsFromJson(json: Readonly<Record<string, string>>): Label[] {
	return Object.entries(json)
		.map(([key, value]) => ({ key, value }))
		.sort((left, right) => (left.key < right.key ? -1 : 1));
}
