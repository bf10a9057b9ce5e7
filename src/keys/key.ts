export type KeyKind = "site" | "enroll" | "host" | "auto";

/** What a verdict may depend on of a key. Times are milliseconds since the epoch. */
export interface KeyFacts {
	readonly id: string;
	readonly kind: KeyKind;
	readonly siteId: string | null;
	/** Site keys: false once rotated away. */
	readonly active: boolean;
	readonly graceEndsAt: number | null;
	readonly maxUses: number | null;
	readonly uses: number;
	readonly expiresAt: number | null;
	readonly revokedAt: number | null;
	/** Host tokens: when it was used. */
	readonly consumedAt: number | null;
}

/** A key as it stands in the database. Times are milliseconds since the epoch. */
export interface KeyRecord extends KeyFacts {
	readonly tenantId: string;
	readonly fleetId: string | null;
	readonly hostId: string | null;
	readonly name: string;
	/** Argon2id PHC string (site), or SHA-256 in hex (enroll, host). */
	readonly verifier: string;
	/** First four hex digits of SHA-256 of the secret: safe to show. */
	readonly hint: string;
	readonly version: number;
	readonly allowedCidrs: readonly string[];
	readonly labels: Readonly<Record<string, string>>;
	readonly createdAt: number;
	readonly lastUsedAt: number | null;
	readonly lastWorkerId: string | null;
}

/**
 * Whether a batch of enrollments holds the key's lock from the verdict to the commit. Where uses run out, or the tenant's configuration hangs on the key,
 * they go one after the other. Others only have to find the key as it was when their use is counted (`addUses`), so that batches run beside each other.
 */
export function isExclusive({ kind, maxUses }: Pick<KeyFacts, "kind" | "maxUses">): boolean {
	return maxUses !== null || kind === "host" || kind === "auto";
}

/** A key as it is when it was just made: everything else is said by whoever makes it. */
export const unused = {
	fleetId: null,
	hostId: null,
	version: 1,
	active: true,
	maxUses: null,
	uses: 0,
	expiresAt: null,
	revokedAt: null,
	graceEndsAt: null,
	consumedAt: null,
	lastUsedAt: null,
	lastWorkerId: null,
	allowedCidrs: [],
	labels: {},
} as const satisfies Partial<KeyRecord>;

/** How a site key is shown to people: `v3 (A1B2)` (S2). */
export function siteKeyFingerprint(key: { readonly version: number; readonly hint: string }): string {
	return `v${key.version} (${key.hint})`;
}
