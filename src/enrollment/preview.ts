import type { Deps } from "../deps.ts";
import { MusterError } from "../errors.ts";
import { decide, type Verdict } from "./decide.ts";
import type { ProvenRequest } from "./request.ts";
import { sourceAllowed } from "./source.ts";
import { load, LostRace } from "./store.ts";
import { factsFor, openWorld } from "./world.ts";

/** The verdict that would be passed now, and the host that the key is for. Its locks are let go unused: nothing is saved, and it binds nobody. */
export function preview(
	deps: Pick<Deps, "db" | "clock" | "settings">,
	request: ProvenRequest,
): Promise<{ readonly verdict: Verdict; readonly hostId: string | null }> {
	return again(() =>
		deps.db.tx(async (tx) => {
			const loaded = await load(tx, [request]);
			const world = openWorld(loaded, deps.settings.staleSeconds * 1_000);
			const facts = factsFor(world, request, (key) => sourceAllowed(key, request.sourceAddress));
			return { verdict: decide(facts, request, deps.clock.now()), hostId: loaded.keys[0]?.hostId ?? null };
		}),
	);
}

/** Another server was faster each time: a burst on one host. */
const triesMax = 5;

/** Asks anew, a few times, when the facts changed while they were read. SERVICE_UNAVAILABLE when they change each time: nothing was used up. */
export async function again<T>(ask: () => Promise<T>): Promise<T> {
	for (let tries = 1; ; tries++) {
		try {
			return await ask();
		} catch (error) {
			if (!(error instanceof LostRace)) throw error;
			if (tries < triesMax) continue;
			const why = `what it depends on changed ${triesMax} times while it was read, by other requests for the same host or worker`;
			throw new MusterError("SERVICE_UNAVAILABLE", `Cannot decide on this now: ${why}; nothing was used up, try again`, { cause: error });
		}
	}
}
