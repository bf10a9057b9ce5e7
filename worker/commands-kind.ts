import type { Engine } from "../src/engine/engine.ts";
import type { EngineInfo } from "../src/engine/info.ts";
import type { Clock } from "../src/lib/clock.ts";
import type { Random } from "../src/lib/random.ts";
import type { CommandErrorCode, CommandKind, CommandParams } from "../src/protocol/commands.ts";
import type { CommandInput } from "./commands-input.ts";
import type { OutputSender } from "./commands-output.ts";
import type { FuseRecord } from "./fuse-record.ts";
import type { Timers } from "./timers.ts";

/** A command that cannot be done, with the code the server is told. */
export class CommandFault extends Error {
	override readonly name = "CommandFault";
	readonly code: CommandErrorCode;

	constructor(code: CommandErrorCode, message: string) {
		super(message);
		this.code = code;
	}
}

/** What a command is done with. */
export interface CommandContext {
	readonly commandId: string;
	readonly clock: Clock;
	readonly random: Random;
	readonly timers: Timers;
	readonly fuse: FuseRecord;
	/** The id of the container that the parameters name, for kinds that are about one. */
	readonly target: string;
	readonly output: OutputSender;
	readonly input: CommandInput;
	/** Ends what streams: cancelled, past its deadline, or the worker stops. */
	readonly signal: AbortSignal;
}

/** The same, with the engine of this moment. */
export interface EngineContext extends CommandContext {
	readonly engine: Engine;
	readonly info: EngineInfo;
}

/** How a kind is done: the value is the command's result; what it throws is its error (`EngineError`, `CommandFault`, a fault). */
export type Doer<K extends CommandKind> = (context: EngineContext, params: CommandParams<K>) => Promise<unknown>;
/** The same for what needs no engine. */
export type PlainDoer<K extends CommandKind> = (context: CommandContext, params: CommandParams<K>) => Promise<unknown>;

/** The label that tells which command made a container. */
export const commandLabel = "io.muster.command";
