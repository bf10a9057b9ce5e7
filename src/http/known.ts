/** The fast lane: operations whose exact text the server knows run without parsing, validation and the general request pipeline. */
import { type DocumentNode, type ExecutionArgs, type ExecutionResult, execute, type GraphQLSchema, Kind, parse, validate } from "graphql";

/** One operation of a known document, ready to run. */
export interface KnownRequest {
	readonly document: DocumentNode;
	readonly variables: Record<string, unknown> | undefined;
}

/** What a client sends for one operation. */
export interface Payload {
	readonly query?: unknown;
	readonly variables?: unknown;
	readonly operationName?: unknown;
	readonly extensions?: unknown;
}

/** The documents that are recognised. */
export interface KnownDocuments {
	/** The operation in a JSON body; undefined when it is another one, or sent in a way that the general pipeline has rules for. */
	inBody(text: string): KnownRequest | undefined;
	/** The operation in a payload; undefined as above. */
	inPayload(payload: Payload): KnownRequest | undefined;
	/** What graphql-js needs to run it. The context is this operation's own; it is made to say that the document is known, so that nobody measures it anew. */
	argsOf(known: KnownRequest, context: object): ExecutionArgs;
	/**
	 * Runs it by graphql-js, with the same schema and resolvers as every other operation. A result without data was refused before any
	 * resolver ran (a variable of the wrong type): the general pipeline may then still be asked.
	 */
	execute(args: ExecutionArgs): Promise<ExecutionResult>;
}

/** A body longer than this is no enrollment of a real machine; it is not searched. */
const bodyCharactersMax = 65_536;
const payloadFields = new Set(["query", "variables", "operationName"]);

/**
 * Prepares documents: each is parsed and validated here, once. Throws when one is not valid, or holds more than one operation or root
 * field: a reply of the fast lane is always that of a single root field.
 */
export function knownDocuments(schema: GraphQLSchema, texts: readonly string[]): KnownDocuments {
	const known = new Map(texts.map((text) => [text, prepared(schema, text)]));

	function inPayload(payload: Payload): KnownRequest | undefined {
		const entry = typeof payload.query === "string" ? known.get(payload.query) : undefined;
		if (entry === undefined) return undefined;
		const { variables, operationName, extensions } = payload;
		if (extensions !== undefined || (operationName != null && operationName !== entry.name)) return undefined;
		if (variables != null && !isRecord(variables)) return undefined;
		return { document: entry.document, variables: variables ?? undefined };
	}

	return {
		inPayload,
		inBody(text) {
			// A text that does not hold the document as it is need not be parsed twice.
			if (text.length > bodyCharactersMax || !texts.some((document) => text.includes(document))) return undefined;
			const body = parsed(text);
			return isRecord(body) && Object.keys(body).every((field) => payloadFields.has(field)) ? inPayload(body) : undefined;
		},
		argsOf: ({ document, variables }, context) => ({
			schema,
			document,
			contextValue: Object.assign(context, { isKnown: true }),
			variableValues: variables ?? null,
		}),
		execute: async (args) => execute(args),
	};
}

function prepared(schema: GraphQLSchema, text: string): { readonly document: DocumentNode; readonly name: string | undefined } {
	const document = parse(text);
	const errors = validate(schema, document);
	if (errors.length > 0) throw new Error(`A known document is not valid: ${errors.join("; ")}`);
	const [operation, ...others] = document.definitions;
	if (operation?.kind !== Kind.OPERATION_DEFINITION || others.length > 0 || operation.selectionSet.selections.length !== 1)
		throw new Error("A known document has more than one operation or root field");
	return { document, name: operation.name?.value };
}

function parsed(text: string): unknown {
	try {
		return JSON.parse(text);
	} catch {
		// The general pipeline tells the client.
		return undefined;
	}
}

function isRecord(value: unknown): value is Record<string, unknown> {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}
