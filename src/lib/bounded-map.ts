/** A map that holds at most `limit` entries: setting one more drops the one that was touched longest ago. */
export interface BoundedMap<V> {
	get(key: string): V | undefined;
	set(key: string, value: V): void;
	delete(key: string): void;
	readonly size: number;
}

interface Entry<V> {
	readonly key: string;
	value: V;
	older: Entry<V> | undefined;
	newer: Entry<V> | undefined;
}

/**
 * Makes one. Both reading and writing count as touching. The order is a list of our own: the first key of a Map whose first keys were deleted
 * is found by going past each of them, which made a full map of 100,000 fifty times slower.
 */
export function boundedMap<V>(limit: number): BoundedMap<V> {
	const entries = new Map<string, Entry<V>>();
	let oldest: Entry<V> | undefined;
	let newest: Entry<V> | undefined;

	function unlink(entry: Entry<V>): void {
		if (entry.older === undefined) oldest = entry.newer;
		else entry.older.newer = entry.newer;
		if (entry.newer === undefined) newest = entry.older;
		else entry.newer.older = entry.older;
	}

	function append(entry: Entry<V>): void {
		entry.older = newest;
		entry.newer = undefined;
		if (newest === undefined) oldest = entry;
		else newest.newer = entry;
		newest = entry;
	}

	function drop(entry: Entry<V> | undefined): void {
		if (entry === undefined) return;
		unlink(entry);
		entries.delete(entry.key);
	}

	function touch(entry: Entry<V>): void {
		if (entry === newest) return;
		unlink(entry);
		append(entry);
	}

	return {
		get(key) {
			const entry = entries.get(key);
			if (entry === undefined) return undefined;
			touch(entry);
			return entry.value;
		},
		set(key, value) {
			const known = entries.get(key);
			if (known !== undefined) {
				known.value = value;
				touch(known);
				return;
			}
			const entry: Entry<V> = { key, value, older: undefined, newer: undefined };
			entries.set(key, entry);
			append(entry);
			if (entries.size > limit) drop(oldest);
		},
		delete(key) {
			drop(entries.get(key));
		},
		get size() {
			return entries.size;
		},
	};
}
