import type { Disk } from "../../../worker/disk.ts";

/** Thrown in place of the next operation: the process is gone. */
export class Crash extends Error {
	override readonly name = "Crash";
}

interface Entry {
	text: string;
	changedAtMs: number;
}

/**
 * A disk in memory that tells what a running process sees from what a power failure leaves: content counts as durable from `sync` on, names from
 * `syncDir` on. Can stop the world before any operation.
 */
export class FakeDisk implements Disk {
	/** Operations until the crash; undefined: none. */
	crashIn: number | undefined;
	/** The next write fails with this system error. */
	failWrite: string | undefined;
	operations = 0;
	readonly #seen = new Map<string, Entry>();
	readonly #durableContent = new WeakMap<Entry, string>();
	/** Names as the directory on the platter has them. */
	#durableNames = new Map<string, Entry>();

	read(path: string): string | undefined {
		return this.#seen.get(path)?.text;
	}

	write(path: string, text: string): void {
		this.#step();
		if (this.failWrite !== undefined) throw Object.assign(new Error(`${this.failWrite}: no space left`), { code: this.failWrite });
		const entry = this.#seen.get(path);
		if (entry === undefined) this.#seen.set(path, { text, changedAtMs: 0 });
		else entry.text = text;
	}

	create(path: string, text: string): void {
		if (this.#seen.has(path)) throw Object.assign(new Error("EEXIST: file already exists"), { code: "EEXIST" });
		this.write(path, text);
	}

	sync(path: string): void {
		this.#step();
		const entry = this.#seen.get(path);
		if (entry !== undefined) this.#durableContent.set(entry, entry.text);
	}

	rename(from: string, to: string): void {
		this.#step();
		const entry = this.#seen.get(from);
		if (entry === undefined) throw Object.assign(new Error("ENOENT: no such file"), { code: "ENOENT" });
		this.#seen.delete(from);
		this.#seen.set(to, entry);
	}

	syncDir(): void {
		this.#step();
		this.#durableNames = new Map(this.#seen);
	}

	remove(path: string): void {
		this.#step();
		this.#seen.delete(path);
	}

	changedAtMs(path: string): number | undefined {
		return this.#seen.get(path)?.changedAtMs;
	}

	touch(path: string, atMs: number): void {
		const entry = this.#seen.get(path);
		if (entry !== undefined) entry.changedAtMs = atMs;
	}

	/** The names there are now. */
	names(): readonly string[] {
		return [...this.#seen.keys()].sort();
	}

	/**
	 * The power fails and comes back. Of each name that changed since the last `syncDir`, `keepsNew` decides whether the change got to the platter;
	 * content that was not synced is lost.
	 */
	powerFailure(keepsNew: () => boolean): void {
		const after = new Map<string, Entry>();
		for (const path of new Set([...this.#seen.keys(), ...this.#durableNames.keys()])) {
			const [now, before] = [this.#seen.get(path), this.#durableNames.get(path)];
			const entry = now !== before && keepsNew() ? now : before;
			if (entry !== undefined) after.set(path, entry);
		}
		this.#seen.clear();
		for (const [path, entry] of after) {
			entry.text = this.#durableContent.get(entry) ?? "";
			this.#seen.set(path, entry);
		}
		this.#durableNames = new Map(this.#seen);
	}

	#step(): void {
		this.operations += 1;
		if (this.crashIn === undefined) return;
		if (this.crashIn === 0) throw new Crash("the process is gone");
		this.crashIn -= 1;
	}
}
