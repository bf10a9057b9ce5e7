import * as v from "valibot";
import { outcomes, pendingReasons, refusals } from "./codes.ts";

/** The worker's GraphQL documents, word for word: the server may recognise them by text. */
export const enrollDocument =
	"mutation Enroll($input: EnrollInput!) { enroll(input: $input) { __typename ... on Enrolled { workerId hostId name outcome apiKey sealedApiKey serverAddress heartbeatIntervalSeconds mesh { provider controlUrl authKey serverMeshAddress } } ... on EnrollmentPending { workerId reason retryAfterSeconds } ... on EnrollmentRejected { reason message retryAfterSeconds serverTime } } }";

export const heartbeatDocument = "mutation Heartbeat($input: HeartbeatInput) { heartbeat(input: $input) { serverTime nextInSeconds } }";

/** What the worker may read of the enroll reply. */
export const enrollReply = v.variant("__typename", [
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
				serverMeshAddress: v.nullable(v.string()),
			}),
		),
	}),
	v.object({
		__typename: v.literal("EnrollmentPending"),
		workerId: v.string(),
		reason: v.picklist(pendingReasons),
		retryAfterSeconds: v.number(),
	}),
	v.object({
		__typename: v.literal("EnrollmentRejected"),
		reason: v.picklist(refusals),
		message: v.string(),
		retryAfterSeconds: v.nullable(v.number()),
		serverTime: v.string(),
	}),
]);
export type EnrollReply = v.InferOutput<typeof enrollReply>;

/** What the worker reads of a heartbeat's reply. */
export const heartbeatReply = v.object({ serverTime: v.string(), nextInSeconds: v.number() });
export type HeartbeatReply = v.InferOutput<typeof heartbeatReply>;
