/** The GraphQL pipeline's own rules. They hang on Yoga's engine, so they hold over HTTP and over sockets alike. */
import { blockFieldSuggestionsPlugin } from "@escape.tech/graphql-armor-block-field-suggestions";
import { maxAliasesPlugin } from "@escape.tech/graphql-armor-max-aliases";
import { maxDirectivesPlugin } from "@escape.tech/graphql-armor-max-directives";
import { maxTokensPlugin } from "@escape.tech/graphql-armor-max-tokens";
import {
	type DocumentNode,
	type ExecutionResult,
	GraphQLError,
	getOperationAST,
	Kind,
	NoSchemaIntrospectionCustomRule,
	type SelectionSetNode,
} from "graphql";
import type { Plugin } from "graphql-yoga";
import type { ErrorMask } from "./mask.ts";
import type { OperationScope } from "./scope.ts";

/** Limits on one document. Depth and cost are the schema's own (Pothos complexity). */
export interface DocumentLimits {
	/** Longest document in characters; comments are no tokens, so the token limit alone would not bound it. */
	readonly charactersMax: number;
	readonly tokensMax: number;
	readonly aliasesMax: number;
	readonly directivesMax: number;
}

/** GraphiQL's introspection takes about 300 tokens in 1,800 characters; the largest document of the tests is a tenth of these. */
export const documentLimits: DocumentLimits = { charactersMax: 65_536, tokensMax: 2_000, aliasesMax: 30, directivesMax: 30 };

/** Refuses documents past the limits, and introspection with its "did you mean" cousins when it is off. */
export function documentRules(limits: DocumentLimits, introspection: boolean): object[] {
	const length: Plugin = {
		onParse({ params }) {
			const characters = params.source.toString().length;
			if (characters <= limits.charactersMax) return;
			throw new GraphQLError(`Syntax Error: The document has ${characters} characters, ${limits.charactersMax} is the most`, {
				extensions: { code: "GRAPHQL_PARSE_FAILED", http: { spec: true, status: 400 } },
			});
		},
	};
	const hidden: Plugin = {
		onValidate({ addValidationRule }) {
			addValidationRule(NoSchemaIntrospectionCustomRule);
		},
	};
	return [
		length,
		maxTokensPlugin({ n: limits.tokensMax }),
		maxAliasesPlugin({ n: limits.aliasesMax }),
		maxDirectivesPlugin({ n: limits.directivesMax }),
		...(introspection ? [] : [hidden, blockFieldSuggestionsPlugin({ mask: "" })]),
	];
}

/** The result with its errors masked. */
export function maskResult(mask: ErrorMask, result: ExecutionResult, requestId: string): ExecutionResult {
	return result.errors === undefined ? result : { ...result, errors: result.errors.map((error) => mask(error, requestId)) };
}

/** Masks the errors of every result, single or streamed, under the request id of its scope. */
export function maskResults(mask: ErrorMask): Plugin<OperationScope<unknown>> {
	return {
		onExecute({ context: { requestId } }) {
			return {
				onExecuteDone({ result, setResult }) {
					if (isResult(result)) setResult(maskResult(mask, result, requestId));
				},
			};
		},
		onSubscribe({ context: { requestId } }) {
			return {
				onSubscribeResult({ result, setResult }) {
					if (isResult(result)) return setResult(maskResult(mask, result, requestId));
					return { onNext: (next) => next.setResult(maskResult(mask, next.result, requestId)) };
				},
				onSubscribeError({ error, setError }) {
					setError(mask(error, requestId));
				},
			};
		},
	};
}

/** Tells `found` each operation before it runs, with whether it has exactly one root field. */
export function watchRootFields(found: (scope: OperationScope<unknown>, single: boolean) => void): Plugin<OperationScope<unknown>> {
	return {
		onExecute({ args, context }) {
			found(context, hasOneRootField(args.document, args.operationName));
		},
	};
}

function isResult(result: unknown): result is ExecutionResult {
	return typeof result === "object" && result !== null && !(Symbol.asyncIterator in result);
}

/** Whether the operation asks for one root field, spelled out or through a fragment. */
function hasOneRootField(document: DocumentNode, operationName: string | null | undefined): boolean {
	const operation = getOperationAST(document, operationName);
	return operation != null && countFields(document, operation.selectionSet, 0) === 1;
}

function countFields(document: DocumentNode, set: SelectionSetNode, depth: number): number {
	// Validation has refused circles; the bound is for documents of fragments within fragments.
	if (depth > 10) return 2;
	let count = 0;
	for (const selection of set.selections) {
		if (selection.kind === Kind.FIELD) count++;
		else if (selection.kind === Kind.INLINE_FRAGMENT) count += countFields(document, selection.selectionSet, depth + 1);
		else {
			const fragment = document.definitions.find(
				(node) => node.kind === Kind.FRAGMENT_DEFINITION && node.name.value === selection.name.value,
			);
			if (fragment?.kind === Kind.FRAGMENT_DEFINITION) count += countFields(document, fragment.selectionSet, depth + 1);
		}
		if (count > 1) return count;
	}
	return count;
}
