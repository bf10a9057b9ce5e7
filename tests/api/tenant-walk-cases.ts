/** The walk itself: from the schema and what is the owner's to requests, and from replies to what of the owner they give away. */
import type { GraphQLSchema } from "graphql";
import type { GraphQLReply } from "../support/muster.ts";
import { parseToken } from "../../src/protocol/token.ts";
import type { Asker } from "./tenant-walk-owner.ts";
import { documentOf, type Field, type Leaf, leavesOf, type Operation, variablesOf } from "./tenant-walk-schema.ts";
import { type Belongings, besides, idsIn, type Value, valuesFor } from "./tenant-walk-values.ts";

/** One request of the walk, and the same with names of nothing. */
export interface Case {
	readonly field: string;
	/** What is walked, such as `worker.id`; of a field without arguments its name. */
	readonly leaf: string;
	readonly type: string;
	readonly document: string;
	readonly variables: object;
	/** The texts in it that name what is the owner's. */
	readonly asked: readonly string[];
	readonly twin: { readonly variables: object; readonly asked: readonly string[] } | undefined;
	/** It names something that the asker has as well. */
	readonly shared: boolean;
}

export interface Walk {
	readonly schema: GraphQLSchema;
	readonly operation: Operation;
	readonly its: Belongings;
	readonly asker: Asker;
	/** The type of each node id of the owner's. */
	readonly typenames: ReadonlyMap<string, string>;
}

/** Ends the name of the request that fills all leaves. */
export const allAtOnce = " with all at once";
const depth = { query: 4, mutation: 3, subscription: 3 };

/** Every request for a field: without arguments when it can, one for each of the owner's values at each leaf, and one with all leaves filled. */
export function casesOf(walk: Walk, field: Field): Case[] {
	const leaves = leavesOf(field);
	const required = leaves.filter((leaf) => leaf.required);
	// A required choice is made each way with each value, since what it leads to differs.
	const choices = required.find((leaf) => leaf.choices.length > 0);
	const cases = required.length === 0 ? [caseOf(walk, field, field.name, "", [])] : [];
	for (const leaf of leaves) {
		for (const value of valuesFor(leaf, walk.its)) {
			for (const choice of choices === undefined || choices === leaf ? [undefined] : choices.choices) {
				const base = required
					.filter((other) => other !== leaf)
					.map(
						(other) => [other, other === choices && choice !== undefined ? { it: choice } : besides(other, walk.its, walk.asker)] as const,
					);
				cases.push(caseOf(walk, field, leaf.name, leaf.type, [...base, [leaf, value]]));
			}
		}
	}
	const all = leaves.flatMap((leaf): (readonly [Leaf, Value])[] => {
		const value = valuesFor(leaf, walk.its).find(({ shared }) => shared !== true);
		return value === undefined ? [] : [[leaf, value]];
	});
	if (leaves.length > 1) cases.push(caseOf(walk, field, `${field.name}${allAtOnce}`, "", all));
	return cases;
}

function caseOf(walk: Walk, field: Field, leaf: string, type: string, filled: readonly (readonly [Leaf, Value])[]): Case {
	const twins = filled.filter(([, { twin }]) => twin !== undefined);
	const only = walk.typenames.get(String(filled.at(-1)?.[1].it)) ?? "Worker";
	const selecting = { depth: depth[walk.operation], lists: walk.operation !== "mutation", only };
	return {
		field: field.name,
		leaf,
		type,
		document: documentOf(walk.operation, walk.schema, field, selecting),
		variables: variablesOf(filled.map(([at, { it }]) => [at, it])),
		asked: twins.flatMap(([, { it }]) => textsIn(it)),
		twin:
			twins.length === 0
				? undefined
				: {
						variables: variablesOf(filled.map(([at, { it, twin, again }]) => [at, twin ?? again ?? it])),
						asked: twins.flatMap(([, { twin }]) => textsIn(twin)),
					},
		shared: filled.some(([, { shared }]) => shared === true),
	};
}

function textsIn(value: unknown): string[] {
	if (typeof value === "string") return [value];
	return typeof value === "object" && value !== null ? Object.values(value).flatMap(textsIn) : [];
}

/** A reply without what was asked for. */
export function without(reply: Pick<GraphQLReply, "status" | "data" | "errors">, asked: readonly string[]): string {
	const { status, data, errors } = reply;
	let text = JSON.stringify({ status, data, errors });
	for (const one of [...asked].sort((left, right) => right.length - left.length))
		text = text.replaceAll(JSON.stringify(one).slice(1, -1), "<it>");
	return text;
}

/** The same without what each request makes anew: ids, secrets, times, versions and the names that the walk makes up. */
export function shapeOf(text: string): string {
	let shape = text;
	for (const id of idsIn(text)) shape = shape.replaceAll(id, "<id>");
	return shape
		.replace(/mst_(\w+?)_[0-9a-f_]{85}/g, "<$1 token>")
		.replace(/whsec_[A-Za-z0-9+/]{43}=/g, "<webhook secret>")
		.replace(/own-[0-9a-f]{12}/g, "<own>")
		.replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g, "<at>")
		.replace(/"(hint|apiKeyHint)":"[0-9A-F]{4}"/g, '"$1":"<hint>"')
		.replace(/v\d+ \([0-9A-F]{4}\)/g, "<fingerprint>")
		.replace(/"version":\d+/g, '"version":"<version>"');
}

/** What of the owner's stands in a text: its tag, ids, secrets and address. */
export function marksIn(text: string, { owner, ids }: Belongings): string[] {
	const known = new Set(ids);
	const found = idsIn(text).filter((id) => known.has(id));
	if (text.includes(owner.tag)) found.push(owner.tag);
	if (text.includes(owner.source)) found.push(owner.source);
	return [...found, ...secretsIn(text, owner.secrets)];
}

/** The secrets, or their secret parts, that stand in a text. */
export function secretsIn(text: string, secrets: readonly string[]): string[] {
	return secrets.filter((secret) => text.includes(secret) || text.includes(parseToken(secret)?.secret ?? secret));
}

/** Does the work for each, a few at a time, in order of the list. */
export async function forEachOf<T>(list: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
	const left = [...list].reverse();
	const run = async () => {
		for (let item = left.pop(); item !== undefined; item = left.pop()) await work(item);
	};
	await Promise.all(Array.from({ length: 8 }, run));
}
