/** A list of any length of which only what is on the screen is held: pages are read when they come into view, and the oldest are forgotten. */

export interface Page<T> {
	readonly total: number;
	readonly rows: readonly T[];
}

/** Rows of one page, and pages held at once: 4,000 rows are far more than any screen, and a few megabytes. */
export const pageRows = 100;
const pagesMax = 40;

/** Reads `total` and pages; `changed` is called when something is new. Answers that come after `forget` are dropped. */
export class Rows<T extends { readonly id: string }> {
	total: number | undefined;
	readonly #pages = new Map<number, T[]>();
	/** Which page a row is on. */
	readonly #places = new Map<string, number>();
	readonly #asked = new Set<number>();
	readonly #read: (skip: number) => Promise<Page<T>>;
	readonly #changed: () => void;
	readonly #failed: (error: unknown) => void;
	#age = 0;

	constructor(read: (skip: number) => Promise<Page<T>>, changed: () => void, failed: (error: unknown) => void) {
		this.#read = read;
		this.#changed = changed;
		this.#failed = failed;
	}

	/** The row at a place, when it is here. */
	at(index: number): T | undefined {
		return this.#pages.get(Math.floor(index / pageRows))?.[index % pageRows];
	}

	/** Makes sure that these places are read. */
	want(from: number, to: number): void {
		for (let page = Math.floor(from / pageRows); page <= Math.floor(Math.max(from, to - 1) / pageRows); page++) {
			if (!this.#pages.has(page)) this.#load(page);
		}
	}

	/** Reads anew what is on the screen, and forgets the rest; old rows stay until the new ones are here. */
	refresh(from: number, to: number): void {
		const [first, last] = [Math.floor(from / pageRows), Math.floor(Math.max(from, to - 1) / pageRows)];
		for (const page of this.#pages.keys()) if (page < first || page > last) this.#drop(page);
		for (let page = first; page <= last; page++) this.#load(page);
	}

	/** Applies a change to a row that is held; returns its place, undefined when it is not held. */
	patch(id: string, change: Partial<T>): number | undefined {
		const page = this.#places.get(id);
		const rows = page === undefined ? undefined : this.#pages.get(page);
		const index = rows?.findIndex((row) => row.id === id) ?? -1;
		const row = rows?.[index];
		if (page === undefined || rows === undefined || row === undefined) return undefined;
		rows[index] = { ...row, ...change };
		return page * pageRows + index;
	}

	/** Forgets everything; nothing is called any more. */
	forget(): void {
		this.#age += 1;
		this.#pages.clear();
		this.#places.clear();
		this.#asked.clear();
	}

	#drop(page: number): void {
		for (const { id } of this.#pages.get(page) ?? []) if (this.#places.get(id) === page) this.#places.delete(id);
		this.#pages.delete(page);
	}

	#load(page: number): void {
		if (this.#asked.has(page)) return;
		this.#asked.add(page);
		const age = this.#age;
		this.#read(page * pageRows)
			.then(
				({ total, rows }) => {
					if (age !== this.#age) return;
					this.total = total;
					this.#drop(page);
					this.#pages.set(page, [...rows]);
					for (const { id } of rows) this.#places.set(id, page);
					for (const old of this.#pages.keys()) {
						if (this.#pages.size <= pagesMax) break;
						this.#drop(old);
					}
					this.#changed();
				},
				(error: unknown) => age === this.#age && this.#failed(error),
			)
			.finally(() => age === this.#age && this.#asked.delete(page));
	}
}
