import { boundedMap } from "../lib/bounded-map.ts";

/** What a worker said of its host in one heartbeat. Times are milliseconds since the epoch. */
export interface Vitals {
	readonly at: number;
	readonly bootId: string | null;
	readonly load1: number | null;
	readonly memoryUsedBytes: number | null;
	readonly uptimeSeconds: number | null;
}

/** One point a minute, an hour of them: enough for a sparkline. */
export const slotMs = 60_000;
export const slots = 60;

/** Where in the ring a moment's point stands. */
export function slotOf(at: number): number {
	return Math.floor(at / slotMs) % slots;
}

/** Workers whose last minute is remembered: at 100 bytes each about 10 MB. One that is forgotten costs a write that changes nothing. */
const rememberedMax = 100_000;

/** Tells the first heartbeat of a worker in each minute from the others, so that one in a few is written into the ring. In memory, per process. */
export function minuteFilter(): (key: string, at: number) => boolean {
	const minutes = boundedMap<number>(rememberedMax);
	return (key, at) => {
		const minute = Math.floor(at / slotMs);
		if (minutes.get(key) === minute) return false;
		minutes.set(key, minute);
		return true;
	};
}
