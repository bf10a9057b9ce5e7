import type { EnrollmentMethod } from "../protocol/codes.ts";
import type { Label } from "../lib/label.ts";

/** What the worker says of itself; nothing here is proven. */
export interface WorkerClaim {
	readonly name: string;
	readonly requestedId: string | null;
	readonly hostname: string | null;
	readonly machineUid: string;
	readonly platform: string | null;
	readonly version: string | null;
	readonly labels: readonly Label[];
}

/** An enroll request whose key was proven: the only form that reaches a verdict. */
export interface ProvenRequest {
	readonly enrollmentId: string;
	readonly method: EnrollmentMethod;
	readonly tenantId: string;
	readonly keyId: string;
	readonly claim: WorkerClaim;
	/** Base64 X25519 public key, or null: the credential goes back in clear. */
	readonly replyKey: string | null;
	readonly sourceAddress: string;
	/** Milliseconds since the epoch when the server first saw it: tells `already_consumed` from `race_consumed`. */
	readonly arrivedAt: number;
	/** Of an auto-enrollment: what its HMAC vouches for beside the claim; null for other keys. */
	readonly proof: { readonly nonce: string; readonly timestampMs: number } | null;
	/** Minted before the verdict, used only if it admits. */
	readonly fresh: FreshCredential;
	readonly mesh: MeshTicket;
}

/** What was done about the mesh ahead of the verdict (H6). */
export type MeshTicket =
	/** This way in, or this server, has no mesh. */
	| { readonly kind: "none" }
	/** It looked as if no key would be given out: none was minted. */
	| { readonly kind: "not-minted" }
	/** A key of mesh_keys, given out only if the verdict admits. */
	| { readonly kind: "minted"; readonly id: string; readonly key: FreshMeshKey };

/** A mesh key as the worker gets it: one of the two is set. */
export interface FreshMeshKey {
	readonly authKey: string | null;
	readonly sealedAuthKey: string | null;
}

/** Ids and a credential made ahead of the verdict, so that nothing slow or random happens under lock. */
export interface FreshCredential {
	readonly workerId: string;
	readonly hostId: string;
	readonly credentialId: string;
	/** The tenant's shared API key (A2): it exists already, the worker is granted its use. Otherwise the credential is made for this worker alone. */
	readonly shared: boolean;
	readonly selector: string;
	readonly secretHash: Uint8Array;
	readonly hint: string;
	/** In clear, only when there is no reply key. */
	readonly apiKey: string | null;
	/** Sealed to the reply key, only when there is one. */
	readonly sealed: string | null;
}
