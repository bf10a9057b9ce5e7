import { type FuseFailureSource, fuseOutcomes } from "../fuse/fusion.ts";
import type { FuseProvider } from "../hosts/lifecycle.ts";
import type { CommandKind, CommandState } from "../protocol/commands.ts";
import type { EnrollmentMethod, Outcome, Refusal } from "../protocol/codes.ts";

/** What one attempt to send a webhook came to: `disabled` when its receiver answered 410 Gone, `failed` when it was the last one. */
export const webhookResults = ["delivered", "retried", "failed", "disabled"] as const;
export type WebhookResult = (typeof webhookResults)[number];

/** What a fusion comes to: `FUSED`, and then or instead how it ended. */
export const fuseResults = ["FUSED", ...fuseOutcomes] as const;
export type FuseResult = (typeof fuseResults)[number];

/** What the mesh is asked. */
export const meshCalls = ["mint", "expire", "nodes", "remove", "probe"] as const;
export type MeshCall = (typeof meshCalls)[number];
export const meshCallResults = ["ok", "refused", "failed"] as const;
/** What minting a key came to: made, no answer, refused, or not asked because it is left alone or has too much to do. */
export const meshMints = ["minted", "unavailable", "refused", "not-asked"] as const;
export const meshBreakers = ["closed", "half-open", "open"] as const;

/** What the domain counts. Label values are closed sets, so that no client can grow the series. */
export interface Metrics {
	enrollAttempt(method: EnrollmentMethod, result: Outcome | "PENDING"): void;
	enrollRejection(method: EnrollmentMethod, reason: Refusal): void;
	enrollBatch(size: number): void;
	argon2Verification(): void;
	argon2Waiting(count: number): void;
	heartbeats(count: number): void;
	sockets(kind: "worker" | "operator", change: 1 | -1): void;
	subscribers(change: 1 | -1): void;
	eventLag(seconds: number): void;
	hostsDegraded(count: number): void;
	webhookAttempt(result: WebhookResult): void;
	meshCall(call: MeshCall, result: (typeof meshCallResults)[number], seconds: number): void;
	meshMint(result: (typeof meshMints)[number]): void;
	/** What the circuit breaker is from now on. */
	meshBreaker(state: (typeof meshBreakers)[number]): void;
	commandEnded(kind: CommandKind, state: CommandState): void;
	/** Commands that no worker was given yet, and how long the oldest has waited. */
	commandQueue(depth: number, ageSeconds: number): void;
	commandOutput(bytes: number): void;
	/** A worker waits for a reader to make room. */
	commandOutputWait(): void;
	/** A host was fused, or a fusion came to another end. */
	fuse(provider: FuseProvider, outcome: FuseResult): void;
	fuseFailed(source: FuseFailureSource): void;
	/** How long a host took to be fused. */
	fuseSeconds(provider: FuseProvider, seconds: number): void;
}
