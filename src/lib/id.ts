import type { Clock } from "./clock.ts";
import type { Random } from "./random.ts";

/** The prefix of every id says what it names, so a node id needs no encoding and a log line explains itself. */
export const idPrefixes = {
	tenant: "ten",
	site: "site",
	fleet: "flt",
	key: "key",
	enrollmentKey: "ekey",
	hostToken: "htok",
	autoSecret: "asec",
	worker: "wrk",
	host: "host",
	credential: "cred",
	attempt: "att",
	alert: "alrt",
	audit: "aud",
	meshKey: "mkey",
	webhook: "whk",
	delivery: "dlv",
	fusion: "fus",
	command: "cmd",
	stack: "stk",
} as const;

export type IdKind = keyof typeof idPrefixes;

/** Makes ids that sort by the time they were made within one process, and are not guessable (80 random bits). */
export type IdMint = (kind: IdKind) => string;

const alphabet = "0123456789abcdefghjkmnpqrstvwxyz";
/** The two characters of each number below 1024. */
const pairs = Array.from({ length: 1024 }, (_, number) => alphabet.charAt(number >> 5) + alphabet.charAt(number & 31));
const limbBits = 20;
const limbMask = (1 << limbBits) - 1;
/** Random steps that are drawn at once: asking the system for each costs more than making the id. */
const stepsAtOnce = 64;

/** A mint of `<prefix>_<ULID in lower case>`; ids of one mint strictly increase even within a millisecond. */
export function idMint(clock: Clock, random: Random): IdMint {
	let lastMs = -1;
	let time = "";
	/** The random part: 80 bits in limbs of 20, the most significant first. */
	const tail: [number, number, number, number] = [0, 0, 0, 0];
	let steps: DataView = new DataView(new ArrayBuffer(0));
	let nextStep = 0;

	function begin(): void {
		const bytes = random.bytes(10);
		for (let limb = 0; limb < 4; limb++) {
			const at = (limb * limbBits) >> 3;
			const three = ((bytes[at] ?? 0) << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
			tail[limb] = (limb % 2 === 0 ? three >> 4 : three) & limbMask;
		}
		// The upper half is left for counting up.
		tail[0] >>= 1;
	}

	/** By a random step, so that neighbours stay unguessable. */
	function countUp(): void {
		if (nextStep + 4 > steps.byteLength) {
			const bytes = random.bytes(4 * stepsAtOnce);
			steps = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
			nextStep = 0;
		}
		let carry = (steps.getUint32(nextStep) | 1) >>> 0;
		nextStep += 4;
		for (let limb = 3; limb >= 0 && carry > 0; limb--) {
			const sum = (tail[limb] ?? 0) + (carry & limbMask);
			tail[limb] = sum & limbMask;
			carry = (carry >>> limbBits) + (sum >>> limbBits);
		}
	}

	return (kind) => {
		const nowMs = Math.max(clock.now(), lastMs);
		// Within one millisecond the random part counts up (ULID spec, monotonicity).
		if (nowMs === lastMs) countUp();
		else {
			begin();
			time = encodeTime(nowMs);
			lastMs = nowMs;
		}
		const [first, second, third, fourth] = tail;
		return `${idPrefixes[kind]}_${time}${encodeLimb(first)}${encodeLimb(second)}${encodeLimb(third)}${encodeLimb(fourth)}`;
	};
}

/** What every id of a kind that was minted at this time or later is not below, so that a table can be cut by time along its primary key. */
export function idFloor(kind: IdKind, atMs: number): string {
	return `${idPrefixes[kind]}_${encodeTime(Math.max(0, Math.floor(atMs)))}`;
}

/** The kind an id's prefix names, or undefined for an id of somebody's own choosing. */
export function idKind(id: string): IdKind | undefined {
	const prefix = id.slice(0, Math.max(0, id.indexOf("_")));
	return (Object.keys(idPrefixes) as IdKind[]).find((kind) => idPrefixes[kind] === prefix);
}

/** Milliseconds since the epoch in ten characters. */
function encodeTime(ms: number): string {
	let text = "";
	for (let rest = ms, pair = 0; pair < 5; pair++, rest = Math.floor(rest / 1024)) text = (pairs[rest % 1024] ?? "") + text;
	return text;
}

function encodeLimb(limb: number): string {
	return (pairs[limb >> 10] ?? "") + (pairs[limb & 1023] ?? "");
}
