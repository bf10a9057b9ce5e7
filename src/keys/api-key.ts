/** An API key that belongs to no single worker: made by an admin (`named`), or shared by the auto-enrolled workers of a tenant (A2, A12). */
export interface ApiKeyRecord {
	readonly id: string;
	readonly tenantId: string;
	readonly name: string;
	/** First four hex digits of SHA-256 of the secret: safe to show. */
	readonly hint: string;
	readonly shared: boolean;
	readonly createdAt: number;
	readonly revokedAt: number | null;
	readonly lastUsedAt: number | null;
}

/** The same with what it is checked against. */
export interface NewApiKey extends ApiKeyRecord {
	/** Public and unique; of an admin's own text a random one that nothing looks up. */
	readonly selector: string;
	/** SHA-256 of the secret part, in hex. */
	readonly hash: string;
}
