import type { Deps } from "../deps.ts";
import { isConnectionFault, isLostWrite } from "../db/faults.ts";
import { watchGrowth } from "../db/growth.ts";
import { retryable } from "../db/tx.ts";
import { type Batcher, batcher } from "../lib/batcher.ts";
import { boundedMap } from "../lib/bounded-map.ts";
import { apply } from "./apply.ts";
import { type Changes, isPlain } from "./changes.ts";
import { decide } from "./decide.ts";
import { type Glance, glance, isPlainRequest } from "./glance-store.ts";
import { batchMax, besideAt, waitingMax } from "./limits.ts";
import { type Loaded, nothing } from "./loaded.ts";
import { noteEarly } from "./note.ts";
import type { ProvenRequest } from "./request.ts";
import type { EarlyRefusal, EnrollResult } from "./result.ts";
import { sourceAllowed } from "./source.ts";
import { load, LostRace, save, saveAlone } from "./store.ts";
import { factsFor, openWorld } from "./world.ts";

/** What a batch is made of: a request whose key was proven, or the note of one that was refused before. */
export type Item =
	| { readonly kind: "proven"; readonly request: ProvenRequest }
	| { readonly kind: "refused"; readonly refusal: EarlyRefusal };

/** What one enrollment adds a row to. */
const growing = ["workers", "hosts", "credentials", "enrollments", "attempts", "audit", "events"];
/** How often a batch that lost a race to another server is decided anew before its requests are tried one by one. */
const lostRacesMax = 5;
/** Keys remembered as exclusive: one that is forgotten costs one look. */
const exclusiveMax = 10_000;

/**
 * Decides and writes what arrives, in batches, each all or nothing. Machines that nobody knows are read at a glance and written by one statement that
 * commits by itself: nothing about them can change in between but their key, which the statement itself finds as it was or fails. Whatever else a
 * request may be is decided under locks in a transaction.
 */
export function enrollBatches(deps: Pick<Deps, "db" | "clock" | "settings" | "mintId" | "metrics" | "log">): Batcher<Item, EnrollResult> {
	const growth = watchGrowth(deps, growing);
	const exclusive = boundedMap<true>(exclusiveMax);

	function decided(loaded: Loaded, items: readonly Item[]): { readonly answers: readonly EnrollResult[]; readonly changes: Changes } {
		const world = openWorld(loaded, deps.settings.staleSeconds * 1_000);
		const now = deps.clock.now();
		const answers = items.map((item): EnrollResult => {
			if (item.kind === "refused") {
				noteEarly(world.changes, item.refusal, now, deps.mintId);
				const { reason, message, retryAfterSeconds } = item.refusal;
				return { kind: "rejected", reason, message, retryAfterSeconds };
			}
			const { request } = item;
			const facts = factsFor(world, request, (key) => sourceAllowed(key, request.sourceAddress));
			return apply(world, request, decide(facts, request, now), now, deps.mintId);
		});
		return { answers, changes: world.changes };
	}

	/** Undefined, and nothing written, when it takes locks. */
	async function atAGlance(items: readonly Item[]): Promise<readonly EnrollResult[] | undefined> {
		const requests = provenOf(items);
		if (!requests.every((request) => isPlainRequest(request) && exclusive.get(request.keyId) === undefined)) return undefined;
		const seen = await look(requests);
		if (seen.kind === "exclusive") for (const id of seen.keyIds) exclusive.set(id, true);
		if (seen.kind !== "unknown") return undefined;
		const { answers, changes } = decided(seen.loaded, items);
		if (!isPlain(changes)) return undefined;
		await saveAlone(deps.db.sql, changes);
		return answers;
	}

	async function look(requests: readonly ProvenRequest[]): Promise<Glance> {
		if (requests.length === 0) return { kind: "unknown", loaded: nothing };
		try {
			return await glance(deps.db.sql, requests);
		} catch (error) {
			// A transaction is begun anew, in time.
			if (retryable(error, "work") !== undefined) return { kind: "known" };
			throw error;
		}
	}

	function underLock(items: readonly Item[]): Promise<readonly EnrollResult[]> {
		return deps.db.tx(
			async (tx) => {
				const { answers, changes } = decided(await load(tx, provenOf(items)), items);
				await save(tx, changes);
				return answers;
			},
			{ byIndex: true },
		);
	}

	async function run(items: readonly Item[], lostRaces = 0): Promise<readonly EnrollResult[]> {
		try {
			const answers = (await atAGlance(items)) ?? (await underLock(items));
			deps.metrics.enrollBatch(items.length);
			growth.grew(items.length);
			return answers;
		} catch (error) {
			if ((error instanceof LostRace || isLostWrite(error)) && lostRaces < lostRacesMax) return run(items, lostRaces + 1);
			throw error;
		}
	}

	return batcher((items) => run(items), { batchMax, waitingMax, besideAt, shared: isConnectionFault });
}

function provenOf(items: readonly Item[]): ProvenRequest[] {
	return items.flatMap((item) => (item.kind === "proven" ? [item.request] : []));
}
