import { buildSchema, type GraphQLSchema } from "graphql";
import { refusals } from "../../../src/protocol/codes.ts";

/** The part of contract.graphql that a worker uses, for the fake control plane. */
export const schema: GraphQLSchema = buildSchema(`
	scalar DateTime
	enum Outcome { NEW REUSED MOVED REPLAYED }
	enum PendingReason { COLLISION APPROVAL_REQUIRED }
	enum RejectionReason { ${refusals.join(" ")} }
	input LabelInput { key: String! value: String! }
	input SiteKeyCredential { siteCode: String! key: String! tenant: String }
	input HostTokenCredential { token: String! sharedSecret: String! }
	input AutoEnrollmentProof { tenant: String nonce: String! timestamp: DateTime! mac: String! }
	input EnrollCredential @oneOf {
		siteKey: SiteKeyCredential enrollmentKey: String hostToken: HostTokenCredential autoEnrollment: AutoEnrollmentProof
	}
	input WorkerFactsInput {
		name: String! requestedId: String hostname: String! machineUid: String! platform: String version: String labels: [LabelInput!]
	}
	input EnrollInput { enrollmentId: String! credential: EnrollCredential! worker: WorkerFactsInput! replyKey: String }
	type MeshJoin { provider: String! controlUrl: String! authKey: String sealedAuthKey: String serverMeshAddress: String }
	type Enrolled {
		workerId: ID! hostId: ID! name: String! outcome: Outcome! apiKey: String sealedApiKey: String serverAddress: String mesh: MeshJoin
		heartbeatIntervalSeconds: Int!
	}
	type EnrollmentPending { workerId: ID! reason: PendingReason! retryAfterSeconds: Int! }
	type EnrollmentRejected { reason: RejectionReason! message: String! retryAfterSeconds: Int serverTime: DateTime! }
	union EnrollResult = Enrolled | EnrollmentPending | EnrollmentRejected
	input HeartbeatInput { bootId: String sequence: Int load1: Float memoryUsedBytes: Float uptimeSeconds: Float version: String }
	type HeartbeatPayload { serverTime: DateTime! nextInSeconds: Float! }
	type Query { version: String }
	type Mutation { enroll(input: EnrollInput!): EnrollResult! heartbeat(input: HeartbeatInput): HeartbeatPayload! }
`);
