import type { Secret } from "../lib/secret.ts";

/** A key that lets one machine onto the mesh, once, for a few minutes. */
export interface MintedKey {
	/** The mesh's own id of it. */
	readonly remoteId: string;
	/** When the mesh made it, by its own clock, in milliseconds since the epoch; null when it does not say. */
	readonly createdAt: number | null;
	readonly text: Secret;
}

/**
 * Which key is meant: by the mesh's id and the moment it made it, for ids begin anew with a new database of the mesh; or by the exact expiration
 * it was asked with, when its id was never heard. Times are milliseconds since the epoch.
 */
export interface KeyName {
	readonly remoteId: string | null;
	/** Null: never heard. */
	readonly remoteCreatedAt: number | null;
	readonly expiration: string;
	/** When we asked for it, by our own clock. */
	readonly askedAt: number;
}

/** A key as the mesh shows it. */
export interface SeenKey {
	readonly id: string;
	readonly createdAt: number | null;
	/** RFC 3339; moved when it was ended. */
	readonly expiration: string | null;
}

/** A machine as the mesh lists it. Times are milliseconds since the epoch. */
export interface MeshNode {
	readonly id: string;
	/** The name it has on the mesh. */
	readonly name: string;
	readonly addresses: readonly string[];
	readonly online: boolean;
	readonly lastSeenAt: number | null;
	/** The key it joined with; null when the mesh does not say. */
	readonly key: SeenKey | null;
}

/** How the mesh is, as far as this process has seen. */
export interface MeshState {
	readonly ok: boolean;
	/** For operators: no address and no secret. */
	readonly reason: string | undefined;
}

/** A server without a mesh: keys are neither needed nor given. */
export interface NoMesh {
	readonly provider: "none";
	close(): Promise<void>;
}

/** What a mesh provider does for us. Every call has a deadline and waits a bounded time for its turn; each throws MeshFault. */
export interface RealMesh {
	readonly provider: "headscale";
	/** Where workers are told to log in. */
	readonly controlUrl: string;
	/**
	 * Mints a single-use key that ends at `expiration` (RFC 3339, microseconds: the mark by which it is found again when the answer is lost).
	 * @param before called once it is sure that the mesh will be asked; what it throws goes up, and nothing was asked
	 */
	mint(expiration: string, before: () => Promise<void>): Promise<MintedKey>;
	/** Ends keys, unused or not. Tells for each whether it is ended or cannot be there any more; false: not found, it may still come. */
	expire(keys: readonly KeyName[]): Promise<readonly boolean[]>;
	/** Every node there is. */
	nodes(): Promise<readonly MeshNode[]>;
	/** Removes a node; one that is gone is removed. */
	removeNode(id: string): Promise<void>;
	/** Asks whether address, API key and user are right, and notes the answer. Never throws. */
	probe(): Promise<MeshState>;
	/** What the last calls said, without asking. */
	state(): MeshState;
	/** Ends the calls under way. */
	close(): Promise<void>;
}

export type Mesh = NoMesh | RealMesh;

/** Why the mesh did not do what it was asked. */
export type FaultKind =
	/** No answer, or one from something in between: it may have been done. */
	| "unavailable"
	/** It answered, and refused. */
	| "refused"
	/** It was not asked: too many calls wait, or it failed so often that it is left alone for a while. */
	| "not-asked";

/** A call to the mesh that failed. The message is for operators and holds no secret and no address. */
export class MeshFault extends Error {
	readonly kind: FaultKind;
	/** The HTTP status, when there was one. */
	readonly status: number | null;
	constructor(kind: FaultKind, message: string, options: { readonly status?: number; readonly cause?: unknown } = {}) {
		super(message, options.cause === undefined ? {} : { cause: options.cause });
		this.name = "MeshFault";
		this.kind = kind;
		this.status = options.status ?? null;
	}
}
