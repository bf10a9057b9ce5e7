import { configureSync, getJsonLinesFormatter, getLogger, type LogLevel as LibraryLevel, type LogRecord } from "@logtape/logtape";

/** A structured logger: an event name and fields, one line per state change, never a secret. */
export interface Log {
	debug(event: string, fields?: LogFields): void;
	info(event: string, fields?: LogFields): void;
	warn(event: string, fields?: LogFields): void;
	error(event: string, fields?: LogFields): void;
}

export type LogFields = Readonly<Record<string, unknown>>;
export type LogLevel = "debug" | "info" | "warn" | "error";
export type LogFormat = "text" | "json";

const levels: Record<LogLevel, LibraryLevel> = { debug: "debug", info: "info", warn: "warning", error: "error" };
const ranks = Object.keys(levels);
/** The level of the process's log as it was opened last: it holds for every `Log` that was handed out, as the library's own does. */
let lowest = 0;
const secretName = /secret|password|token|apikey|api_key|authorization|^mac$/i;

/**
 * Opens the process's log (LogTape): lines go through `write`, `json` for machines, `text` for people.
 * A field whose name sounds like a secret is replaced before it is formatted. Opening again replaces the former settings.
 */
export function openLog(options: { readonly level: LogLevel; readonly format: LogFormat }, write: (line: string) => void): Log {
	const json = getJsonLinesFormatter({ properties: "flatten", message: "rendered" });
	const format = options.format === "json" ? (record: LogRecord) => json(record).trimEnd() : textLine;
	configureSync({
		reset: true,
		sinks: { lines: (record) => write(format(record)) },
		loggers: [
			{ category: ["muster"], lowestLevel: levels[options.level], sinks: ["lines"] },
			{ category: ["logtape", "meta"], lowestLevel: "error", sinks: ["lines"] },
		],
	});
	const logger = getLogger(["muster"]);
	lowest = ranks.indexOf(options.level);
	/** What is below the level costs nothing. */
	const from = (level: LogLevel, say: (event: string, fields: Record<string, unknown>) => void): Log[LogLevel] => {
		const rank = ranks.indexOf(level);
		return (event, fields) => {
			if (rank >= lowest) say(event, redact(fields));
		};
	};
	return {
		debug: from("debug", (event, fields) => logger.debug(event, fields)),
		info: from("info", (event, fields) => logger.info(event, fields)),
		warn: from("warn", (event, fields) => logger.warn(event, fields)),
		error: from("error", (event, fields) => logger.error(event, fields)),
	};
}

/** A log that says nothing, for tests and tools. */
export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} };

function redact(fields: LogFields = {}): Record<string, unknown> {
	return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, secretName.test(name) ? "[secret]" : plain(value)]));
}

/** An error as JSON shows it; text lines show its name and message. */
class PlainError {
	readonly name: string;
	readonly message: string;
	readonly cause?: unknown;
	readonly stack: string | undefined;
	constructor(error: Error) {
		this.name = error.name;
		this.message = error.message;
		if (error.cause !== undefined) this.cause = plain(error.cause);
		this.stack = error.stack;
	}
}

function plain(value: unknown): unknown {
	return value instanceof Error ? new PlainError(value) : value;
}

function textLine(record: LogRecord): string {
	const fields = Object.entries(record.properties).map(([name, value]) => ` ${name}=${text(value)}`);
	// Where a fault came from is worth lines of its own; of a warning, what it says is enough.
	const traces =
		record.level === "error"
			? Object.values(record.properties).flatMap((value) => (value instanceof PlainError ? [`\n${value.stack}`] : []))
			: [];
	return `${new Date(record.timestamp).toISOString()} ${record.level.padEnd(7)} ${record.message.join("")}${fields.join("")}${traces.join("")}`;
}

function text(value: unknown): string {
	if (value instanceof PlainError) return text(`${value.name}: ${value.message}`);
	const shown = typeof value === "string" ? value : (JSON.stringify(value) ?? "undefined");
	return /[\s"=]/.test(shown) ? JSON.stringify(shown) : shown;
}
