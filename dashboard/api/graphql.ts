/** GraphQL documents as typed text: results and variables follow from schema.graphql, nothing of the library is in the page. */
import type { initGraphQLTada, TadaDocumentNode } from "gql.tada";
import type { Schema } from "./schema-types.ts";

type Setup = { introspection: Schema; disableMasking: true; scalars: { ID: string; DateTime: string; JSON: unknown } };
type Tada = ReturnType<typeof initGraphQLTada<Setup>>;

/** A document with the types of what it gives and takes. */
export type { ResultOf, TadaDocumentNode as Document, VariablesOf } from "gql.tada";

/** The text of a document: at run time it is nothing else. */
export function textOf(document: TadaDocumentNode<unknown, never>): string {
	return document as unknown as string;
}

function join(text: string, fragments: readonly unknown[] = []): string {
	return [text, ...new Set(fragments.map(String))].join("\n");
}

/** Types a document; fragments it uses come second. */
export const graphql = join as unknown as Tada;
