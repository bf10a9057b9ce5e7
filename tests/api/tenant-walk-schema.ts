/** Reads a schema for the walk over it: the arguments that a field takes down to their leaves, and a document that selects all a field can show. */
import {
	buildClientSchema,
	type GraphQLField,
	type GraphQLInputType,
	type GraphQLNamedType,
	type GraphQLSchema,
	getIntrospectionQuery,
	getNamedType,
	getNullableType,
	type IntrospectionQuery,
	isAbstractType,
	isEnumType,
	isInputObjectType,
	isInterfaceType,
	isLeafType,
	isListType,
	isNonNullType,
	isObjectType,
} from "graphql";
import { graphql, type Muster } from "../support/muster.ts";

export type Operation = "query" | "mutation" | "subscription";
export type Field = GraphQLField<unknown, unknown>;

/** What a client can fill in: an argument, or a field of an input object in one. */
export interface Leaf {
	/** `createWorker.input.name`. */
	readonly name: string;
	/** From the argument inwards. */
	readonly path: readonly [string, ...string[]];
	/** Its type's name, without list and non-null. */
	readonly type: string;
	readonly list: boolean;
	/** A request without it is malformed. */
	readonly required: boolean;
	/** All values of an enum. */
	readonly choices: readonly string[];
}

/** The schema as the server tells it. */
export async function introspect(server: Muster, token: string): Promise<GraphQLSchema> {
	const query = getIntrospectionQuery({ inputValueDeprecation: true, oneOf: true });
	const { data, errors } = await graphql(server, query, {}, { authorization: `Bearer ${token}` });
	if (errors.length > 0) throw new Error(JSON.stringify(errors));
	return buildClientSchema(data as IntrospectionQuery);
}

/** The fields of a root type, by name. */
export function fieldsOf(schema: GraphQLSchema, operation: Operation): readonly Field[] {
	const type = { query: schema.getQueryType(), mutation: schema.getMutationType(), subscription: schema.getSubscriptionType() }[operation];
	return Object.values(type?.getFields() ?? {});
}

/** Input types that are filled as a whole. */
const wholes = ["LabelInput", "PortInput", "MountInput"];

/** All that a client can fill in of a field. */
export function leavesOf(field: Field): Leaf[] {
	return field.args.flatMap(({ name, type }) => leavesAt(field.name, [name], type, true));
}

function leavesAt(field: string, path: readonly [string, ...string[]], type: GraphQLInputType, needed: boolean): Leaf[] {
	const required = needed && isNonNullType(type);
	const named = getNamedType(type);
	const list = isListType(getNullableType(type));
	if (isInputObjectType(named) && !wholes.includes(named.name)) {
		// A list of objects would need a filler of its own: add it to `wholes`.
		if (list) throw new Error(`The walk cannot fill ${field}.${path.join(".")}: it is a list of ${named.name}`);
		return Object.values(named.getFields()).flatMap((inner) => leavesAt(field, [...path, inner.name], inner.type, required));
	}
	const choices = isEnumType(named) ? named.getValues().map(({ name }) => name) : [];
	return [{ name: `${field}.${path.join(".")}`, path, type: named.name, list, required, choices }];
}

/** Variables with a value at each of these leaves. */
export function variablesOf(values: readonly (readonly [Leaf, unknown])[]): Record<string, unknown> {
	const variables: Record<string, unknown> = {};
	for (const [{ path, list }, value] of values) {
		let at = variables;
		for (const step of path.slice(0, -1)) {
			at[step] ??= {};
			at = at[step] as Record<string, unknown>;
		}
		at[path.at(-1) ?? ""] = list && !Array.isArray(value) ? [value] : value;
	}
	return variables;
}

export interface Selecting {
	readonly depth: number;
	/** Of an interface: the type whose fields are selected in full, besides `id`. */
	readonly only?: string | undefined;
	/** False leaves out lists of objects: what they hold grows from one mutation to the next. */
	readonly lists?: boolean;
}

/** A document that asks for one field with every argument a variable. Pages are of five unless the variables say otherwise. */
export function documentOf(operation: Operation, schema: GraphQLSchema, field: Field, selecting: Selecting): string {
	const declared = field.args.map(({ name, type }) => `$${name}: ${String(type)}${name === "first" ? " = 5" : ""}`);
	const given = field.args.map(({ name }) => `${name}: $${name}`);
	const list = (items: readonly string[]) => (items.length === 0 ? "" : `(${items.join(", ")})`);
	const selected = selection(schema, getNamedType(field.type), selecting.depth, [], selecting);
	return `${operation} ${list(declared)} { ${field.name}${list(given)} ${selected} }`;
}

/** Everything of a type down to a depth; a type inside itself is shown by what it holds directly. */
function selection(
	schema: GraphQLSchema,
	type: GraphQLNamedType,
	depth: number,
	around: readonly GraphQLNamedType[],
	selecting: Selecting,
): string {
	if (isLeafType(type)) return "";
	if (isAbstractType(type)) {
		const types = schema.getPossibleTypes(type).filter(({ name }) => selecting.only === undefined || name === selecting.only);
		const parts = types.map((one) => `... on ${one.name} ${selection(schema, one, depth, around, selecting)}`);
		return `{ __typename ${isInterfaceType(type) ? "id " : ""}${parts.join(" ")} }`;
	}
	if (!isObjectType(type)) throw new Error(`The walk cannot select ${type.name}`);
	const left = around.includes(type) ? 1 : depth;
	const parts = Object.values(type.getFields()).flatMap((field) => {
		const named = getNamedType(field.type);
		const text = `${field.name}${innerArguments(field)}`;
		if (isLeafType(named)) return [text];
		if (left <= 1) return [];
		if (selecting.lists === false && isListType(getNullableType(field.type))) return [];
		// What edges hold, nodes hold in full.
		const inner = selection(schema, named, field.name === "edges" ? 2 : left - 1, [...around, type], selecting);
		return inner === "" ? [] : [`${text} ${inner}`];
	});
	return parts.length === 0 ? "" : `{ ${parts.join(" ")} }`;
}

/** Arguments inside of a selection page, and do nothing else: others would be ways in that the walk must fill. */
function innerArguments({ name, args }: Field): string {
	const others = args.filter(({ name: arg }) => !["first", "last", "after", "before"].includes(arg));
	if (others.length > 0) throw new Error(`The walk cannot fill ${others.map((arg) => arg.name).join(", ")} of the inner field ${name}`);
	return args.some((arg) => arg.name === "first") ? "(first: 5)" : "";
}
