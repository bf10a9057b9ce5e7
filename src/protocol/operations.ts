import * as v from "valibot";
import { outcomes, pendingReasons, refusals } from "./codes.ts";

/** The worker's GraphQL documents, word for word: the server may recognise them by text. */
export const enrollDocument =
	"mutation Enroll($input: EnrollInput!) { enroll(input: $input) { __typename ... on Enrolled { workerId hostId name outcome apiKey sealedApiKey serverAddress heartbeatIntervalSeconds mesh { provider controlUrl authKey sealedAuthKey serverMeshAddress } } ... on EnrollmentPending { workerId heldFor: reason askAgainSeconds: retryAfterSeconds } ... on EnrollmentRejected { refusal: reason message retryAfterSeconds serverTime } } }";

export const heartbeatDocument = "mutation Heartbeat($input: HeartbeatInput) { heartbeat(input: $input) { serverTime nextInSeconds } }";

/**
 * What the worker reads of the enroll reply. Held and refused replies both have `reason` and `retryAfterSeconds`, of different types:
 * one selection set holds both only under different names, so the document has aliases and the reading takes them off.
 */
export const enrollReply = v.union([
	v.object({
		__typename: v.literal("Enrolled"),
		workerId: v.string(),
		hostId: v.string(),
		name: v.string(),
		outcome: v.picklist(outcomes),
		apiKey: v.nullable(v.string()),
		sealedApiKey: v.nullable(v.string()),
		serverAddress: v.nullable(v.string()),
		heartbeatIntervalSeconds: v.number(),
		mesh: v.nullable(
			v.object({
				provider: v.string(),
				controlUrl: v.string(),
				authKey: v.nullable(v.string()),
				sealedAuthKey: v.nullable(v.string()),
				serverMeshAddress: v.nullable(v.string()),
			}),
		),
	}),
	v.pipe(
		v.object({
			__typename: v.literal("EnrollmentPending"),
			workerId: v.string(),
			heldFor: v.picklist(pendingReasons),
			askAgainSeconds: v.number(),
		}),
		v.transform(({ heldFor, askAgainSeconds, ...rest }) => ({ ...rest, reason: heldFor, retryAfterSeconds: askAgainSeconds })),
	),
	v.pipe(
		v.object({
			__typename: v.literal("EnrollmentRejected"),
			refusal: v.picklist(refusals),
			message: v.string(),
			retryAfterSeconds: v.nullable(v.number()),
			serverTime: v.string(),
		}),
		v.transform(({ refusal, ...rest }) => ({ ...rest, reason: refusal })),
	),
]);
export type EnrollReply = v.InferOutput<typeof enrollReply>;

/** What the worker reads of a heartbeat's reply. */
export const heartbeatReply = v.object({ serverTime: v.string(), nextInSeconds: v.number() });
export type HeartbeatReply = v.InferOutput<typeof heartbeatReply>;
