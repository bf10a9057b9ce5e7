import * as v from "valibot";

/** What a worker may be asked to do on its host (H10–H12). A closed list: a kind that is not here is refused by server and worker alike. */
export const commandKinds = {
	"container.inspect": { lane: "free", needs: "monitoring", streams: false },
	"container.logs": { lane: "free", needs: "monitoring", streams: true },
	"container.exec": { lane: "free", needs: "monitoring", streams: true },
	"container.create": { lane: "ordered", needs: "fused", streams: false },
	"container.start": { lane: "ordered", needs: "fused", streams: false },
	"container.stop": { lane: "ordered", needs: "fused", streams: false },
	"container.restart": { lane: "ordered", needs: "fused", streams: false },
	"container.remove": { lane: "ordered", needs: "fused", streams: false },
	"image.pull": { lane: "ordered", needs: "fused", streams: true },
	"stack.deploy": { lane: "ordered", needs: "fused", streams: true },
	"stack.scale": { lane: "ordered", needs: "fused", streams: true },
	"stack.remove": { lane: "ordered", needs: "fused", streams: true },
	/** Starts a container that carries the challenge, sees and removes it; answers with the engine's id. */
	"fuse.prove": { lane: "ordered", needs: "fusing", streams: false },
	/** From here on the worker itself takes changing commands, as long as its engine has the pinned id. */
	"fuse.grant": { lane: "ordered", needs: "fusing", streams: false },
	"fuse.revoke": { lane: "ordered", needs: "none", streams: false },
	/** Portainer's Edge agent. */
	"agent.deploy": { lane: "ordered", needs: "fusing", streams: false },
	"agent.remove": { lane: "ordered", needs: "none", streams: false },
} as const satisfies Readonly<Record<string, CommandTrait>>;

export interface CommandTrait {
	/** `ordered`: one after the other on a host, in the order they were asked; `free`: at once, beside each other. */
	readonly lane: "free" | "ordered";
	/** What the host must be for it; `fusing` is granted by the server's fuse, never to people. */
	readonly needs: "monitoring" | "fused" | "fusing" | "none";
	/** Whether it sends output. */
	readonly streams: boolean;
}

export type CommandKind = keyof typeof commandKinds;

/** QUEUED → RUNNING → one of the others; QUEUED may end at once. What has ended stays so. */
export const commandStates = ["QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED"] as const;
export type CommandState = (typeof commandStates)[number];

/** Why a command FAILED, from worker or server. */
export const commandErrors = [
	/** The parameters are not those of the kind. */
	"bad_request",
	/** The worker does not hold itself fused, or its engine is not the pinned one. */
	"not_fused",
	"not_found",
	/** The name is in use, or the container is in a state that forbids it. */
	"conflict",
	/** Docker answered with an error; the message is Docker's. */
	"docker_error",
	/** No Docker socket, no rights to it, or an API version out of range. */
	"docker_unavailable",
	/** The worker ended while it was under way, and nobody can say whether it was done. */
	"interrupted",
	/** A fault of ours. */
	"internal",
] as const;
export type CommandErrorCode = (typeof commandErrors)[number];

const id = v.pipe(v.string(), v.nonEmpty(), v.maxLength(255));
const container = v.strictObject({ container: id });
const seconds = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(3_600));
/** A container as Docker's `POST /containers/create` takes it, less what Muster sets; checked by Docker. */
const containerSpec = v.record(v.string(), v.unknown());

/** The parameters of each kind: made by the server, checked by both sides. */
export const commandParams = {
	"container.inspect": container,
	"container.logs": v.strictObject({
		container: id,
		follow: v.boolean(),
		tail: v.nullable(v.pipe(v.number(), v.integer(), v.minValue(0))),
		since: v.nullable(v.string()),
		timestamps: v.boolean(),
	}),
	"container.exec": v.strictObject({
		container: id,
		command: v.pipe(v.array(v.string()), v.minLength(1)),
		env: v.array(v.string()),
		workingDir: v.nullable(v.string()),
		user: v.nullable(v.string()),
		tty: v.boolean(),
		/** Whether INPUT frames will come. */
		stdin: v.boolean(),
	}),
	"container.create": v.strictObject({ name: v.nullable(id), image: id, spec: containerSpec, start: v.boolean() }),
	"container.start": container,
	"container.stop": v.strictObject({ container: id, timeoutSeconds: v.nullable(seconds) }),
	"container.restart": v.strictObject({ container: id, timeoutSeconds: v.nullable(seconds) }),
	"container.remove": v.strictObject({ container: id, force: v.boolean(), volumes: v.boolean() }),
	"image.pull": v.strictObject({ image: id }),
	/** `stack` is `{ content: StackModel }` (src/engine/stack-model.ts), checked there. Any of its texts may hold a secret: `content` is masked as a whole. */
	"stack.deploy": v.strictObject({ project: id, stack: v.record(v.string(), v.unknown()) }),
	/** With the stack: a service that has no container tells nothing of how one is made. */
	"stack.scale": v.strictObject({
		project: id,
		stack: v.record(v.string(), v.unknown()),
		service: id,
		replicas: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(100)),
	}),
	"stack.remove": v.strictObject({ project: id, volumes: v.boolean() }),
	"fuse.prove": v.strictObject({ challenge: id, image: v.nullable(id) }),
	"fuse.grant": v.strictObject({ provider: v.picklist(["DOCKER", "PORTAINER"]), engineId: id }),
	"fuse.revoke": v.strictObject({}),
	"agent.deploy": v.strictObject({ image: id, edgeId: id, edgeKey: v.string(), insecurePoll: v.boolean() }),
	"agent.remove": v.strictObject({}),
} as const satisfies Readonly<Record<CommandKind, v.GenericSchema>>;

export type CommandParams<K extends CommandKind> = v.InferOutput<(typeof commandParams)[K]>;

/** Most bytes of output in one chunk, before base64. */
export const outputChunkBytesMax = 49_152;
/** Most chunks a worker has sent without an answer, of one command: the answer comes when a reader has made room. */
export const outputChunksInFlight = 4;

/** The worker's own document for its orders: the server may recognise it by text. */
export const commandsDocument = "subscription Commands { commands { type commandId kind params deadline data end } }";
export const reportCommandDocument = "mutation ReportCommand($input: ReportCommandInput!) { reportCommand(input: $input) { state } }";
export const sendOutputDocument = "mutation SendCommandOutput($input: CommandOutputInput!) { sendCommandOutput(input: $input) { wanted } }";

/**
 * What the server tells a worker. ORDER: do this (again, perhaps: by `commandId` a worker knows what it did before). CANCEL: end it.
 * INPUT: bytes for a command's stdin, `end` closes it; given at most once, and lost when the connection is lost under them. All unfinished orders come again on each new subscription, in their order.
 */
export const commandFrame = v.object({
	type: v.picklist(["ORDER", "CANCEL", "INPUT"]),
	commandId: v.string(),
	kind: v.nullable(v.string()),
	params: v.nullable(v.unknown()),
	/** RFC 3339; past it the worker does not begin, and ends what streams. */
	deadline: v.nullable(v.string()),
	/** Base64. */
	data: v.nullable(v.string()),
	end: v.nullable(v.boolean()),
});
export type CommandFrame = v.InferOutput<typeof commandFrame>;

/** Most bytes of a command's `result` as JSON: more is refused with BAD_USER_INPUT, and the worker reports FAILED instead. */
export const resultBytesMax = 262_144;

/** What a worker says of a command. Repeated until the server answers; the first end that is reported stands. */
export interface CommandReport {
	readonly commandId: string;
	readonly state: Exclude<CommandState, "QUEUED" | "EXPIRED">;
	readonly result?: unknown;
	readonly error?: { readonly code: CommandErrorCode; readonly message: string };
}

/** A piece of output, answered when there was room for it; SERVICE_UNAVAILABLE after 25 s without: send it again. `sequence` counts from 0 for each command; a chunk sent again is stored once. */
export interface CommandOutputChunk {
	readonly commandId: string;
	readonly sequence: number;
	readonly stream: "STDOUT" | "STDERR";
	/** Base64. */
	readonly data: string;
}

/** `wanted: false`: the command has ended or was cancelled, send no more. */
export const outputReply = v.object({ wanted: v.boolean() });

/** The engine and its containers as the worker sees them: sent whole at each connection and after changes, at most once a second. */
export const reportEngineDocument = "mutation ReportEngine($input: EngineReportInput!) { reportEngine(input: $input) { serverTime } }";

export interface EngineReport {
	/** Null: no engine; `reason` says why, with the remedy. */
	readonly engine: { readonly id: string; readonly version: string; readonly apiVersion: string } | null;
	readonly reason: string | null;
	readonly containers: readonly ContainerReport[];
}

export interface ContainerReport {
	readonly id: string;
	readonly name: string;
	readonly image: string;
	/** Docker's: created, running, paused, restarting, removing, exited, dead. */
	readonly state: string;
	/** Docker's own words: "Up 3 hours (healthy)". */
	readonly status: string;
	readonly createdAt: string;
	readonly labels: readonly { readonly key: string; readonly value: string }[];
	readonly ports: readonly string[];
}

/** Most events in one report; the input is `{ events }`. Of containers' figures it is `{ containers }`, and of both and of the inventory at most 2,000 containers. */
export const hostEventsMax = 200;

/** Docker's events (container, image, network, volume; without exec's and health's chatter), oldest first. */
export const reportHostEventsDocument =
	"mutation ReportHostEvents($input: HostEventsInput!) { reportHostEvents(input: $input) { serverTime } }";

export interface HostEventReport {
	/** RFC 3339 with nanoseconds as Docker has them, cut to milliseconds. */
	readonly at: string;
	readonly type: string;
	readonly action: string;
	readonly subject: string;
	readonly name: string | null;
	readonly attributes: Readonly<Record<string, string>>;
}

/** Figures of the running containers, every heartbeat interval. */
export const reportContainerStatsDocument =
	"mutation ReportContainerStats($input: ContainerStatsInput!) { reportContainerStats(input: $input) { serverTime } }";

export interface ContainerStatsReport {
	readonly containerId: string;
	/** Cores in use: 1.5 is one and a half. */
	readonly cpuCores: number;
	readonly memoryBytes: number;
	readonly memoryLimitBytes: number | null;
	readonly networkReceivedBytes: number;
	readonly networkSentBytes: number;
}
