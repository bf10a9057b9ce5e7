import { type DocumentNode, GraphQLError, Kind, OperationTypeNode } from "graphql";
import type { Plugin } from "graphql-yoga";
import { problem } from "./respond.ts";
import type { HttpReply, OperationScope } from "./scope.ts";
import { formatListenAddress, type ListenAddress } from "../lib/address.ts";

/** The code of everything that a listener for enrolling refuses. */
const code = "WRONG_LISTENER";
const status = 403;

/** Whether a document holds one mutation of the one field `enroll`, and nothing else: no other operation, field, alias or fragment beside it. Pure. */
export function isEnrollOnly({ definitions }: DocumentNode): boolean {
	const operations = definitions.flatMap((node) => (node.kind === Kind.OPERATION_DEFINITION ? [node] : []));
	const [operation] = operations;
	if (operation === undefined || operations.length > 1 || operation.operation !== OperationTypeNode.MUTATION) return false;
	const { selections } = operation.selectionSet;
	const [field] = selections;
	return selections.length === 1 && field?.kind === Kind.FIELD && field.name.value === "enroll";
}

/** Refuses every document but an enroll mutation before it is validated, so that nothing is learned of the schema here (H5). `refused` is told of each. */
export function enrollOnly(message: string, refused: (reply: HttpReply) => void): Plugin<OperationScope<unknown>> {
	return {
		onValidate({ params: { documentAST }, context, setResult }) {
			if (isEnrollOnly(documentAST as DocumentNode)) return;
			const { http } = context as OperationScope<unknown>;
			http.status = status;
			refused(http);
			setResult([new GraphQLError(message, { extensions: { code } })]);
		},
	};
}

/** The answer to a request for a page, a socket or a query by GET. */
export function wrongListener(message: string): Response {
	return problem(status, code, message);
}

/** What that listener says to everything else: where to go instead. */
export function enrollOnlyMessage(apiListen: ListenAddress, serverAddr: string | undefined): string {
	const there = serverAddr ?? formatListenAddress(apiListen);
	return `This listener (MUSTER_LISTEN) takes the enroll mutation only, one in a request: ask the API listener (MUSTER_API_LISTEN) at ${there} for everything else`;
}
