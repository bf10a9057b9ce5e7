import { type ExecutionArgs, visit } from "graphql";

/**
 * Whether a subscription is read at the pace of its one reader: its root field has the extension `paced`. It is never shared, since a group reads its
 * source as fast as it can (H10). Looks at the whole document, fragments included: one field too many costs sharing, nothing else.
 */
export function isPaced({ schema, document }: Pick<ExecutionArgs, "schema" | "document">): boolean {
	const roots = schema.getSubscriptionType()?.getFields() ?? {};
	let found = false;
	visit(document, {
		Field({ name }) {
			found ||= roots[name.value]?.extensions["paced"] === true;
		},
	});
	return found;
}
