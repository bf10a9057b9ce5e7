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
	scalar JSON
	type CommandFrame { type: String! commandId: ID! kind: String params: JSON deadline: DateTime data: String end: Boolean }
	input CommandErrorInput { code: String! message: String! }
	input ReportCommandInput { commandId: ID! state: String! result: JSON error: CommandErrorInput }
	input CommandOutputInput { commandId: ID! sequence: Int! stream: String! data: String! }
	input EngineInput { id: String! version: String! apiVersion: String! }
	input ContainerReportInput {
		id: String! name: String! image: String! state: String! status: String! createdAt: DateTime! labels: [LabelInput!]! ports: [String!]!
	}
	input EngineReportInput { engine: EngineInput reason: String containers: [ContainerReportInput!]! }
	input HostEventInput { at: DateTime! type: String! action: String! subject: String! name: String attributes: JSON! }
	input HostEventsInput { events: [HostEventInput!]! }
	input ContainerStatsEntry {
		containerId: String! cpuCores: Float! memoryBytes: Float! memoryLimitBytes: Float networkReceivedBytes: Float! networkSentBytes: Float!
	}
	input ContainerStatsInput { containers: [ContainerStatsEntry!]! }
	type CommandPayload { state: String! }
	type OutputPayload { wanted: Boolean! }
	type ReportPayload { serverTime: DateTime! }
	type Subscription { commands: CommandFrame! }
	type Mutation {
		enroll(input: EnrollInput!): EnrollResult! heartbeat(input: HeartbeatInput): HeartbeatPayload!
		reportCommand(input: ReportCommandInput!): CommandPayload! sendCommandOutput(input: CommandOutputInput!): OutputPayload!
		reportEngine(input: EngineReportInput!): ReportPayload! reportHostEvents(input: HostEventsInput!): ReportPayload!
		reportContainerStats(input: ContainerStatsInput!): ReportPayload!
	}
`);
