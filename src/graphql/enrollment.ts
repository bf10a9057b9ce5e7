import type { FreshMeshKey } from "../enrollment/request.ts";
import type { EnrollResult } from "../enrollment/result.ts";
import type { RealMesh } from "../mesh/port.ts";
import { pendingRetrySeconds } from "../enrollment/limits.ts";
import { refusalStatus } from "../protocol/codes.ts";
import { builder } from "./builder.ts";
import type { GraphQLContext } from "./context.ts";
import { LabelInput } from "./label.ts";
import { EnrollOutcomeEnum, PendingReasonEnum, RejectionReasonEnum } from "./enums.ts";

const SiteKeyCredential = builder.inputType("SiteKeyCredential", {
	fields: (t) => ({
		siteCode: t.string({ required: true }),
		key: t.string({ required: true }),
		tenant: t.string({ description: "The tenant's slug; `default` when left out." }),
	}),
});
const HostTokenCredential = builder.inputType("HostTokenCredential", {
	fields: (t) => ({ token: t.string({ required: true }), sharedSecret: t.string({ required: true }) }),
});
const AutoEnrollmentProof = builder.inputType("AutoEnrollmentProof", {
	fields: (t) => ({
		tenant: t.string(),
		nonce: t.string({ required: true }),
		timestamp: t.field({ type: "DateTime", required: true }),
		mac: t.string({ required: true }),
	}),
});
const EnrollCredential = builder.inputType("EnrollCredential", {
	isOneOf: true,
	description: "Exactly one way in.",
	fields: (t) => ({
		siteKey: t.field({ type: SiteKeyCredential }),
		enrollmentKey: t.string(),
		hostToken: t.field({ type: HostTokenCredential }),
		autoEnrollment: t.field({ type: AutoEnrollmentProof }),
	}),
});
const WorkerFactsInput = builder.inputType("WorkerFactsInput", {
	fields: (t) => ({
		name: t.string({ required: true }),
		requestedId: t.string(),
		hostname: t.string(),
		machineUid: t.string({ required: true }),
		platform: t.string(),
		version: t.string(),
		labels: t.field({ type: [LabelInput] }),
	}),
});
const EnrollInput = builder.inputType("EnrollInput", {
	fields: (t) => ({
		enrollmentId: t.string({
			required: true,
			description: "128 random bits, lower-case hex, made by the worker. A repeat within ten minutes is the same enrollment.",
		}),
		credential: t.field({ type: EnrollCredential, required: true }),
		worker: t.field({ type: WorkerFactsInput, required: true }),
		replyKey: t.string({
			description: "X25519 public key, base64: when given, the API key comes back only sealed to it (HPKE, RFC 9180).",
		}),
	}),
});

const MeshJoin = builder.objectRef<FreshMeshKey & Pick<RealMesh, "provider" | "controlUrl">>("MeshJoin").implement({
	description: "How the worker joins the mesh: with a single-use key, in time.",
	fields: (t) => ({
		provider: t.exposeString("provider"),
		controlUrl: t.exposeString("controlUrl", { description: "Where the mesh client logs in." }),
		authKey: t.exposeString("authKey", { nullable: true, description: "Only without a reply key." }),
		sealedAuthKey: t.exposeString("sealedAuthKey", {
			nullable: true,
			description: "Only with a reply key: sealed like sealedApiKey, with the HPKE info `muster-enroll-mesh-v1`.",
		}),
		serverMeshAddress: t.string({
			nullable: true,
			description: "Where this server answers on the mesh (MUSTER_SERVER_ADDR).",
			resolve: (_, __, { deps }) => deps.settings.serverAddress,
		}),
	}),
});

const Enrolled = builder.objectRef<Extract<EnrollResult, { kind: "enrolled" }>>("Enrolled").implement({
	fields: (t) => ({
		workerId: t.exposeID("workerId"),
		hostId: t.exposeID("hostId"),
		name: t.exposeString("name"),
		outcome: t.expose("outcome", { type: EnrollOutcomeEnum }),
		apiKey: t.exposeString("apiKey", { nullable: true, description: "Only without a reply key." }),
		sealedApiKey: t.exposeString("sealedApiKey", {
			nullable: true,
			description: "Only with a reply key: base64 of HPKE enc (32 bytes) and ciphertext.",
		}),
		serverAddress: t.string({
			nullable: true,
			description: "Where everything after this call goes; null: where this call went.",
			resolve: (_, __, { deps }) => deps.settings.serverAddress,
		}),
		mesh: t.field({
			type: MeshJoin,
			nullable: true,
			description: "Only for a host token, on a server that has a mesh.",
			resolve: ({ mesh: key }, _, { deps: { mesh } }) =>
				key === null || mesh.provider === "none" ? null : { ...key, provider: mesh.provider, controlUrl: mesh.controlUrl },
		}),
		heartbeatIntervalSeconds: t.int({ resolve: (_, __, { deps }) => deps.settings.heartbeatSeconds }),
	}),
});
const EnrollmentPending = builder.objectRef<Extract<EnrollResult, { kind: "pending" }>>("EnrollmentPending").implement({
	description: "Held until an operator decides: repeat the same enrollment id after retryAfterSeconds.",
	fields: (t) => ({
		workerId: t.exposeID("workerId"),
		reason: t.expose("reason", { type: PendingReasonEnum }),
		retryAfterSeconds: t.int({ resolve: () => pendingRetrySeconds }),
	}),
});
const EnrollmentRejected = builder.objectRef<Extract<EnrollResult, { kind: "rejected" }>>("EnrollmentRejected").implement({
	fields: (t) => ({
		reason: t.expose("reason", { type: RejectionReasonEnum }),
		message: t.exposeString("message"),
		retryAfterSeconds: t.exposeInt("retryAfterSeconds", { nullable: true }),
		serverTime: t.field({ type: "DateTime", resolve: (_, __, { deps }) => deps.clock.now() }),
	}),
});
const EnrollResultUnion = builder.unionType("EnrollResult", {
	types: [Enrolled, EnrollmentPending, EnrollmentRejected],
	resolveType: ({ kind }) => ({ enrolled: Enrolled, pending: EnrollmentPending, rejected: EnrollmentRejected })[kind],
});

builder.mutationField("enroll", (t) =>
	t.field({
		type: EnrollResultUnion,
		description: "Lets a machine in. For anyone who holds a key; safe to repeat with the same enrollmentId.",
		args: { input: t.arg({ type: EnrollInput, required: true }) },
		resolve: async (_, { input }, ctx) => {
			const result = await ctx.enroller.enroll(input, ctx.sourceAddress);
			setStatus(ctx, result);
			return result;
		},
	}),
);

/** The HTTP status of a single-operation request follows the verdict (DESIGN.md, Verdicts). */
function setStatus({ http }: GraphQLContext, result: EnrollResult): void {
	if (result.kind === "enrolled") return;
	http.status = result.kind === "pending" ? 202 : refusalStatus[result.reason];
	const retry = result.kind === "pending" ? pendingRetrySeconds : result.retryAfterSeconds;
	if (retry !== null) http.headers["Retry-After"] = String(retry);
}
