import type { Sql } from "./port.ts";
import type { Statement } from "./session.ts";

/** A tagged template whose statements go to `handler` when they are awaited. `base` makes them and never connects. */
export function templateOver(base: Sql, handler: (statement: Statement) => void): Sql {
	function route(made: unknown): unknown {
		if (isStatement(made)) {
			made.handler = (statement) => {
				const refusal = refused(statement);
				if (refusal === undefined) handler(statement);
				else statement.reject(refusal);
			};
			made.canceller = null;
		}
		return made;
	}
	function tag(first: unknown, ...rest: readonly unknown[]): unknown {
		const template = Array.isArray(first) && "raw" in first;
		return route(Reflect.apply(base, undefined, [first, ...(template ? rest.map((value) => untyped(base, value)) : rest)]));
	}
	return Object.assign(tag, {
		types: base.types,
		typed: base.typed,
		array: (...args: Parameters<Sql["array"]>) => base.array(...args),
		json: (...args: Parameters<Sql["json"]>) => base.json(...args),
		unsafe: (...args: Parameters<Sql["unsafe"]>) => route(base.unsafe(...args)),
		notify: (channel: string, payload: string) => tag(notifyTemplate, channel, payload),
		file: () => {
			throw new Error("sql.file is not supported: read the file and pass it to sql.unsafe");
		},
	}) as unknown as Sql;
}

const notifyTemplate = Object.assign(["select pg_notify(", ", ", ")"], { raw: ["select pg_notify(", ", ", ")"] });

/** The driver takes the type of an array from its first element, so `${dates}::timestamptz[]` fails (42846); left open, the server knows it. */
function untyped(base: Sql, value: unknown): unknown {
	if (!Array.isArray(value)) return value;
	const first: unknown = value.find((element) => element !== null);
	const inferred = first instanceof Date || first instanceof Uint8Array || typeof first === "bigint" || typeof first === "boolean";
	return inferred ? base.typed(value, 0) : value;
}

/** What would upset the driver or leave one session for another. */
function refused(statement: Statement & { readonly args?: unknown }): Error | undefined {
	if (statement.cursorFn !== undefined) return new Error("Cursors are not supported: page with a limit");
	if (statement.streaming !== undefined) return new Error("COPY is not supported: insert from jsonb_to_recordset");
	if (Array.isArray(statement.args) && statement.args.includes(undefined)) {
		return new TypeError("A statement has an undefined parameter: pass null where NULL is meant");
	}
	return undefined;
}

/** Whether the driver made a statement, and not one of its helpers (`sql(rows)`), which must not be awaited. */
export function isStatement(made: unknown): made is Statement {
	return made instanceof Promise && "handler" in made && "reject" in made && "canceller" in made;
}
