/** The schema as a type that gql.tada reads, so that every operation of the dashboard is typed from it: written by `npm run schema`. */
import {
	type GraphQLInputField,
	type GraphQLNamedType,
	type GraphQLSchema,
	type GraphQLType,
	isEnumType,
	isInputObjectType,
	isInterfaceType,
	isListType,
	isNonNullType,
	isObjectType,
	isUnionType,
} from "graphql";

/** The text of dashboard/api/schema-types.ts. */
export function schemaTypes(schema: GraphQLSchema): string {
	const types = Object.values(schema.getTypeMap()).filter(({ name }) => !name.startsWith("__"));
	const lines = types.sort((a, b) => a.name.localeCompare(b.name)).map((type) => `\t\t${type.name}: ${described(schema, type)};\n`);
	const root = (type: GraphQLNamedType | null | undefined) => (type == null ? "never" : JSON.stringify(type.name));
	return `/** Written by npm run schema from the code: change that. */
export type Schema = {
	name: never;
	query: ${root(schema.getQueryType())};
	mutation: ${root(schema.getMutationType())};
	subscription: ${root(schema.getSubscriptionType())};
	types: {
${lines.join("")}	};
};
`;
}

function described(schema: GraphQLSchema, type: GraphQLNamedType): string {
	const name = JSON.stringify(type.name);
	if (isEnumType(type)) return `{ name: ${name}; enumValues: ${oneOf(type.getValues())} }`;
	if (isInputObjectType(type)) {
		const fields = Object.values(type.getFields()).map(inputField);
		return `{ kind: "INPUT_OBJECT"; name: ${name}; isOneOf: ${type.isOneOf}; inputFields: [${fields.join(", ")}] }`;
	}
	if (isUnionType(type)) return `{ kind: "UNION"; name: ${name}; fields: {}; possibleTypes: ${oneOf(type.getTypes())} }`;
	if (isObjectType(type) || isInterfaceType(type)) {
		const fields = Object.values(type.getFields()).map(
			(field) => `${field.name}: { name: "${field.name}"; type: ${reference(field.type)} }`,
		);
		const more = isInterfaceType(type) ? `; possibleTypes: ${oneOf(schema.getPossibleTypes(type))}` : "";
		return `{ kind: "${isInterfaceType(type) ? "INTERFACE" : "OBJECT"}"; name: ${name}; fields: { ${fields.join("; ")} }${more} }`;
	}
	return "unknown";
}

function inputField({ name, type, defaultValue }: GraphQLInputField): string {
	return `{ name: "${name}"; type: ${reference(type)}; defaultValue: ${JSON.stringify(defaultValue ?? null)} }`;
}

function reference(type: GraphQLType): string {
	if (isNonNullType(type)) return `{ kind: "NON_NULL"; name: never; ofType: ${reference(type.ofType)} }`;
	if (isListType(type)) return `{ kind: "LIST"; name: never; ofType: ${reference(type.ofType)} }`;
	const kind = isEnumType(type)
		? "ENUM"
		: isInputObjectType(type)
			? "INPUT_OBJECT"
			: isUnionType(type)
				? "UNION"
				: isObjectType(type)
					? "OBJECT"
					: isInterfaceType(type)
						? "INTERFACE"
						: "SCALAR";
	return `{ kind: "${kind}"; name: "${type.name}"; ofType: null }`;
}

function oneOf(named: readonly { readonly name: string }[]): string {
	return named.map(({ name }) => JSON.stringify(name)).join(" | ");
}
