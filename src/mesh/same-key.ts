import { sameMoment } from "./dialect.ts";
import type { KeyName, SeenKey } from "./port.ts";

/** A clock may cut off or round what is finer than a millisecond. */
const roundingMs = 1;
/** A key that was used was made within its life (`keyMs`) by the clocks of both, which is as far as they may differ. */
const clocksMs = 600_000;

/**
 * Whether the key that the mesh shows is the one we asked for, and not another that has its id since the mesh got a new database. By the moment
 * the mesh made it; of a key from before that was noted by its mark, or, once it was ended and has another, by about the time we asked. Pure.
 */
export function isSameKey(ours: KeyName, seen: SeenKey): boolean {
	if (ours.remoteId !== seen.id) return false;
	if (ours.remoteCreatedAt !== null) return seen.createdAt !== null && Math.abs(seen.createdAt - ours.remoteCreatedAt) <= roundingMs;
	if (seen.expiration !== null && sameMoment(seen.expiration, ours.expiration)) return true;
	return seen.createdAt !== null && Math.abs(seen.createdAt - ours.askedAt) <= clocksMs;
}
