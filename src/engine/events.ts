import * as v from "valibot";
import { type CallOptions, type Engine, filtersOf, stream } from "./engine.ts";
import { readJsonLines } from "./lines.ts";

const eventSchema = v.object({
	Type: v.string(),
	Action: v.string(),
	Actor: v.object({ ID: v.string(), Attributes: v.optional(v.nullable(v.record(v.string(), v.string()))) }),
	/** Seconds since the epoch. */
	time: v.number(),
	timeNano: v.optional(v.number()),
});
/** Something that happened on the engine. */
export type EngineEvent = v.InferOutput<typeof eventSchema>;

/**
 * What happens on the engine, until the signal ends it or the engine goes. Resolves once the engine has begun to tell: nothing that happens
 * from then on is missed. `since`: also what happened from this time on, in seconds since the epoch (with a fraction). A line that is no
 * event is passed over: newer engines may tell of more.
 */
export async function engineEvents(
	engine: Engine,
	filters: Readonly<Record<string, readonly string[]>>,
	since: string | undefined,
	options?: CallOptions,
): Promise<AsyncGenerator<EngineEvent>> {
	const query = { ...filtersOf(filters), ...(since === undefined ? {} : { since }) };
	const { body } = await stream(engine, { ...options, method: "GET", path: "/events", query });
	return readEvents(body);
}

async function* readEvents(body: AsyncIterable<Uint8Array>): AsyncGenerator<EngineEvent> {
	for await (const line of readJsonLines(body)) {
		const parsed = v.safeParse(eventSchema, line);
		if (parsed.success) yield parsed.output;
	}
}
