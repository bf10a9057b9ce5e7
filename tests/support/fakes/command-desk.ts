import { randomUUID } from "node:crypto";
import { GraphQLError } from "graphql";
import { boundedQueue, type Queue } from "../../../src/lib/queue.ts";
import type {
	CommandFrame,
	CommandKind,
	CommandOutputChunk,
	CommandParams,
	CommandReport,
	ContainerStatsReport,
	EngineReport,
	HostEventReport,
} from "../../../src/protocol/commands.ts";

interface Standing {
	readonly frame: CommandFrame;
	readonly chunks: Map<number, CommandOutputChunk>;
	readonly reports: CommandReport[];
	end: CommandReport | undefined;
}

/** The part of the fake control plane that gives orders (src/protocol/commands.ts) and keeps what it is told. */
export class CommandDesk {
	readonly engines: EngineReport[] = [];
	readonly events: HostEventReport[] = [];
	readonly stats: ContainerStatsReport[] = [];
	/** While true, ends are refused as by a server with a fault; the worker is to say them again. */
	deaf = false;
	/** Chunks are answered once this resolves. */
	reader: (chunk: CommandOutputChunk) => Promise<boolean> = () => Promise.resolve(true);
	/** Chunks that were not answered yet, and the most at one time. */
	unanswered = 0;
	mostUnanswered = 0;
	readonly #commands = new Map<string, Standing>();
	readonly #queues = new Set<Queue<{ readonly commands: CommandFrame }>>();
	readonly #happened: () => void;

	constructor(happened: () => void) {
		this.#happened = happened;
	}

	/** Gives an order; returns its id. */
	order<K extends CommandKind>(
		kind: K,
		params: CommandParams<K>,
		options: { readonly deadline?: string; readonly id?: string } = {},
	): string {
		const id = options.id ?? randomUUID();
		const frame = frameOf({ type: "ORDER", commandId: id, kind, params, deadline: options.deadline ?? null });
		this.#commands.set(id, { frame, chunks: new Map(), reports: [], end: undefined });
		this.send(frame);
		return id;
	}

	cancel(commandId: string): void {
		this.send(frameOf({ type: "CANCEL", commandId }));
	}

	input(commandId: string, text: string, end = false): void {
		this.send(frameOf({ type: "INPUT", commandId, data: Buffer.from(text).toString("base64"), end }));
	}

	/** Sends an order's frame once more. */
	repeat(commandId: string): void {
		this.send(this.#standing(commandId).frame);
	}

	send(frame: CommandFrame): void {
		for (const queue of this.#queues) queue.push({ commands: frame });
	}

	endOf(commandId: string): CommandReport | undefined {
		return this.#standing(commandId).end;
	}

	/** What was said of a command, in order. */
	reportsOf(commandId: string): readonly CommandReport[] {
		return this.#standing(commandId).reports;
	}

	/** A command's output so far, in the order of its sequence. */
	output(commandId: string, stream?: "STDOUT" | "STDERR"): string {
		const chunks = [...this.#standing(commandId).chunks.values()].sort((one, other) => one.sequence - other.sequence);
		const wanted = chunks.filter((chunk) => stream === undefined || chunk.stream === stream);
		return Buffer.concat(wanted.map(({ data }) => Buffer.from(data, "base64"))).toString();
	}

	/** Of the protocol's mutations. */
	mutations(): Record<string, object> {
		const serverTime = () => ({ serverTime: new Date().toISOString() });
		return {
			reportCommand: ({ input }: { readonly input: CommandReport }) => {
				const standing = this.#commands.get(input.commandId);
				if (standing === undefined) throw new GraphQLError("No such command", { extensions: { code: "NOT_FOUND" } });
				standing.reports.push({ ...input });
				this.#happened();
				if (this.deaf && input.state !== "RUNNING")
					throw new GraphQLError("Unexpected error", { extensions: { code: "INTERNAL_SERVER_ERROR" } });
				if (input.state !== "RUNNING") standing.end ??= { ...input };
				this.#happened();
				return { state: standing.end?.state ?? "RUNNING" };
			},
			sendCommandOutput: async ({ input }: { readonly input: CommandOutputChunk }) => {
				const standing = this.#standing(input.commandId);
				this.unanswered += 1;
				this.mostUnanswered = Math.max(this.mostUnanswered, this.unanswered);
				this.#happened();
				const wanted = await this.reader(input);
				this.unanswered -= 1;
				if (!standing.chunks.has(input.sequence)) standing.chunks.set(input.sequence, { ...input });
				this.#happened();
				return { wanted };
			},
			reportEngine: ({ input }: { readonly input: EngineReport }) => {
				this.engines.push(input);
				this.#happened();
				return serverTime();
			},
			reportHostEvents: ({ input }: { readonly input: { readonly events: readonly HostEventReport[] } }) => {
				this.events.push(...input.events);
				this.#happened();
				return serverTime();
			},
			reportContainerStats: ({ input }: { readonly input: { readonly containers: readonly ContainerStatsReport[] } }) => {
				this.stats.push(...input.containers);
				this.#happened();
				return serverTime();
			},
		};
	}

	/** Of the protocol's subscription: what has not ended comes first. */
	subscriptions(): Record<string, object> {
		return {
			commands: () => {
				const queue = boundedQueue<{ readonly commands: CommandFrame }>(10_000);
				this.#queues.add(queue);
				for (const { frame, end } of this.#commands.values()) if (end === undefined) queue.push({ commands: frame });
				this.#happened();
				return queue[Symbol.asyncIterator]();
			},
		};
	}

	#standing(commandId: string): Standing {
		const standing = this.#commands.get(commandId);
		if (standing === undefined) throw new Error(`No command ${commandId}`);
		return standing;
	}
}

function frameOf(frame: Pick<CommandFrame, "type" | "commandId"> & Partial<CommandFrame>): CommandFrame {
	return { kind: null, params: null, deadline: null, data: null, end: null, ...frame };
}
