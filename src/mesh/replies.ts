/** What Headscale answers, of every version: only what we use, ids as text. */
import * as v from "valibot";
import type { MeshNode, SeenKey } from "./port.ts";

/** 64-bit ids are JSON texts; a number is taken too, so that a proxy that rewrites JSON does no harm. */
const id = v.pipe(v.union([v.string(), v.number()]), v.transform(String));
/** Unset is null, left out, or (with the zero time) the year 1. */
const moment = v.nullish(v.string(), null);

function timeOf(text: string | null): number | null {
	const at = text === null ? Number.NaN : Date.parse(text);
	return Number.isNaN(at) || at <= 0 ? null : at;
}

const created = v.pipe(moment, v.transform(timeOf));

export const usersReply = v.object({ users: v.array(v.object({ id, name: v.string() })) });
export const mintReply = v.object({ preAuthKey: v.object({ id, key: v.pipe(v.string(), v.nonEmpty()), createdAt: created }) });
export const keysReply = v.object({ preAuthKeys: v.array(v.object({ id, key: v.string(), expiration: moment, createdAt: created })) });

const node = v.pipe(
	v.object({
		id,
		name: v.optional(v.string(), ""),
		givenName: v.optional(v.string(), ""),
		ipAddresses: v.nullish(v.array(v.string()), []),
		online: v.nullish(v.boolean(), false),
		lastSeen: moment,
		preAuthKey: v.nullish(v.object({ id, expiration: moment, createdAt: created }), null),
	}),
	v.transform(
		(found): MeshNode => ({
			id: found.id,
			name: found.givenName || found.name,
			addresses: found.ipAddresses,
			online: found.online,
			lastSeenAt: timeOf(found.lastSeen),
			key: found.preAuthKey satisfies SeenKey | null,
		}),
	),
);
export const nodesReply = v.object({ nodes: v.array(node) });

const problems = v.union([
	// 0.30: RFC 9457. Its details may name what was sent, so only the first is kept.
	v.pipe(
		v.object({ title: v.optional(v.string()), detail: v.string() }),
		v.transform(({ detail }) => detail),
	),
	// Up to 0.29.
	v.pipe(
		v.object({ message: v.string() }),
		v.transform(({ message }) => message),
	),
]);

/** The text of a refusal, of either form; undefined when it is of neither, so not Headscale's own. */
export function problemText(body: string): string | undefined {
	try {
		const parsed = v.safeParse(problems, JSON.parse(body));
		return parsed.success ? parsed.output.slice(0, 300) : undefined;
	} catch {
		return undefined;
	}
}
