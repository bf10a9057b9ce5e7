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

/** A mint of `<prefix>_<ULID in lower case>`; ids of one mint strictly increase even within a millisecond. */
export function idMint(clock: Clock, random: Random): IdMint {
	let lastMs = 0;
	let tail = 0n;
	return (kind) => {
		const nowMs = Math.max(clock.now(), lastMs);
		// Within one millisecond the random part counts up (ULID spec, monotonicity), by a random step so that neighbours stay unguessable.
		tail = nowMs === lastMs ? tail + (toBigInt(random.bytes(4)) | 1n) : toBigInt(random.bytes(10)) >> 1n;
		lastMs = nowMs;
		return `${idPrefixes[kind]}_${encode(BigInt(nowMs), 10)}${encode(tail, 16)}`;
	};
}

/** What every id of a kind that was minted at this time or later is not below, so that a table can be cut by time along its primary key. */
export function idFloor(kind: IdKind, atMs: number): string {
	return `${idPrefixes[kind]}_${encode(BigInt(Math.max(0, Math.floor(atMs))), 10)}`;
}

/** The kind an id's prefix names, or undefined for an id of somebody's own choosing. */
export function idKind(id: string): IdKind | undefined {
	const prefix = id.slice(0, Math.max(0, id.indexOf("_")));
	return (Object.keys(idPrefixes) as IdKind[]).find((kind) => idPrefixes[kind] === prefix);
}

function toBigInt(bytes: Uint8Array): bigint {
	let value = 0n;
	for (const byte of bytes) value = (value << 8n) | BigInt(byte);
	return value;
}

function encode(value: bigint, length: number): string {
	let text = "";
	let rest = value;
	for (let index = 0; index < length; index++) {
		text = alphabet.charAt(Number(rest & 31n)) + text;
		rest >>= 5n;
	}
	return text;
}
