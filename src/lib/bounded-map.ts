/** A map that holds at most `limit` entries: setting one more drops the one that was touched longest ago. */
export interface BoundedMap<V> {
	get(key: string): V | undefined;
	set(key: string, value: V): void;
	delete(key: string): void;
	readonly size: number;
}

/** Makes one. Both reading and writing count as touching. */
export function boundedMap<V>(limit: number): BoundedMap<V> {
	const entries = new Map<string, V>();
	return {
		get(key) {
			const value = entries.get(key);
			if (value === undefined) return undefined;
			entries.delete(key);
			entries.set(key, value);
			return value;
		},
		set(key, value) {
			entries.delete(key);
			entries.set(key, value);
			if (entries.size <= limit) return;
			const oldest = entries.keys().next().value;
			if (oldest !== undefined) entries.delete(oldest);
		},
		delete(key) {
			entries.delete(key);
		},
		get size() {
			return entries.size;
		},
	};
}
