import type postgres from "postgres";

type PostgresType = postgres.PostgresType<unknown>;

/** Element type and array type, by OID; fixed for ever in PostgreSQL (pg_type.dat). */
const arrays = {
	bool: [16, 1000],
	name: [19, 1003],
	int8: [20, 1016],
	int2: [21, 1005],
	int4: [23, 1007],
	text: [25, 1009],
	oid: [26, 1028],
	json: [114, 199],
	float4: [700, 1021],
	float8: [701, 1022],
	inet: [869, 1041],
	bpchar: [1042, 1014],
	varchar: [1043, 1015],
	date: [1082, 1182],
	timestamp: [1114, 1115],
	timestamptz: [1184, 1185],
	numeric: [1700, 1231],
	uuid: [2950, 2951],
	jsonb: [3802, 3807],
} as const;

const parsers: Readonly<Record<string, (text: string) => unknown>> = {
	bool: (text) => text === "t",
	int8: BigInt,
	int2: Number,
	int4: Number,
	oid: Number,
	float4: Number,
	float8: Number,
	json: (text) => JSON.parse(text),
	jsonb: (text) => JSON.parse(text),
	date: (text) => new Date(text),
	timestamp: (text) => new Date(text),
	timestamptz: (text) => new Date(text),
};

/**
 * Array types for the driver, which would otherwise ask the server for them on each connection; when that connection dies meanwhile,
 * the rejection belongs to nobody and ends the process. Arrays of other types (enums) need a cast: `${texts}::text[]::mood[]`.
 */
export const arrayTypes: Readonly<Record<string, PostgresType>> = Object.fromEntries(
	Object.entries(arrays).map(([name, [, array]]) => {
		const parse = parsers[name] ?? ((text: string) => text);
		const write = name === "json" || name === "jsonb" ? JSON.stringify : undefined;
		return [
			`${name}_array`,
			{ to: array, from: [array], serialize: (value) => writeArray(value, write), parse: (text: string) => readArray(text, parse) },
		];
	}),
);

/** Element OID → array OID, for the driver's `sql.array`. */
export const arrayOids: Readonly<Record<number, number>> = Object.fromEntries(Object.values(arrays));

/** Writes PostgreSQL's array literal. Throws on undefined and on what is no array. */
export function writeArray(value: unknown, write?: (element: unknown) => string): string {
	if (!Array.isArray(value)) throw new TypeError("A PostgreSQL array parameter must be a JavaScript array");
	return `{${value.map((element) => (Array.isArray(element) && write === undefined ? writeArray(element) : writeElement(element, write))).join(",")}}`;
}

function writeElement(element: unknown, write: ((element: unknown) => string) | undefined): string {
	if (element === null) return "NULL";
	if (element === undefined) throw new TypeError("A PostgreSQL array parameter holds undefined");
	const text = write?.(element) ?? plain(element);
	return `"${text.replace(/[\\"]/g, "\\$&")}"`;
}

function plain(element: unknown): string {
	if (element instanceof Date) return element.toISOString();
	if (element instanceof Uint8Array) return `\\x${Buffer.from(element).toString("hex")}`;
	return typeof element === "object" ? JSON.stringify(element) : `${element as string | number | bigint | boolean}`;
}

/** Reads PostgreSQL's array literal; nested ones become nested arrays. */
export function readArray(text: string, parse: (element: string) => unknown): unknown[] {
	// `[2:3]={a,b}`: the bounds are not kept.
	let at = text.indexOf("{");

	function list(): unknown[] {
		const elements: unknown[] = [];
		at++;
		while (text[at] !== "}") {
			if (at >= text.length) throw new Error("PostgreSQL sent an array without an end");
			if (text[at] === ",") at++;
			else elements.push(text[at] === "{" ? list() : text[at] === '"' ? parse(quoted()) : bare());
		}
		at++;
		return elements;
	}

	function quoted(): string {
		let value = "";
		for (at++; text[at] !== '"'; at++) {
			if (at >= text.length) throw new Error("PostgreSQL sent an array without an end");
			if (text[at] === "\\") at++;
			value += text[at];
		}
		at++;
		return value;
	}

	function bare(): unknown {
		const start = at;
		while (at < text.length && text[at] !== "," && text[at] !== "}") at++;
		const value = text.slice(start, at);
		return value === "NULL" ? null : parse(value);
	}

	return list();
}
