import * as v from "valibot";
import type { SeenKey } from "./port.ts";

/**
 * How a Headscale wants to be spoken to. Three ways in eight minor versions; ids are sent as text, which all of them take.
 * `name` 0.23 to 0.25, `user-id` 0.26 and 0.27, `key-id` since 0.28.
 */
export type Dialect = "name" | "user-id" | "key-id";

/** The user that keys are minted for, as Headscale lists it. */
export interface DialectUser {
	readonly id: string;
	readonly name: string;
}

/** A key as a list shows it. */
export interface ListedKey extends SeenKey {
	/** The key itself in the dialects that need it; later ones show the beginning only. */
	readonly key: string;
}

/** The dialect of a released version such as `v0.26.1`; undefined for a text that names none (`dev`), or one before 0.23. Pure. */
export function dialectOfVersion(text: string): Dialect | undefined {
	const match = /^v?(\d+)\.(\d+)\.\d+/.exec(text);
	if (match === null) return undefined;
	const [major, minor] = [Number(match[1]), Number(match[2])];
	if (major > 0 || minor >= 28) return "key-id";
	if (minor >= 26) return "user-id";
	return minor >= 23 ? "name" : undefined;
}

const property = v.object({ properties: v.record(v.string(), v.looseObject({ format: v.optional(v.string()) })) });
const openApi2 = v.object({
	definitions: v.object({ v1CreatePreAuthKeyRequest: property, v1ExpirePreAuthKeyRequest: property }),
});

/** The dialect by the description that Headscale gives of itself (OpenAPI 2, up to 0.29); undefined when that is none of ours. Pure. */
export function dialectOfSchema(description: unknown): Dialect | undefined {
	const parsed = v.safeParse(openApi2, description);
	if (!parsed.success) return undefined;
	const { v1CreatePreAuthKeyRequest: create, v1ExpirePreAuthKeyRequest: expire } = parsed.output.definitions;
	if ("id" in expire.properties) return "key-id";
	return create.properties["user"]?.format === "uint64" ? "user-id" : "name";
}

/** Whether a key must belong to a user: older Headscales know no tagged keys without one. */
export function needsUser(dialect: Dialect): boolean {
	return dialect !== "key-id";
}

/** The body that mints a single-use key. `expiration` is always there: without one every Headscale makes a key that has expired. Pure. */
export function mintBody(
	dialect: Dialect,
	user: DialectUser | undefined,
	tags: readonly string[],
	expiration: string,
): Readonly<Record<string, unknown>> {
	const owner = user === undefined ? {} : { user: userRef(dialect, user) };
	return { ...owner, reusable: false, ephemeral: false, expiration, aclTags: [...tags] };
}

/** The query that lists the keys among which ours are. Pure. */
export function listQuery(dialect: Dialect, user: DialectUser | undefined): string {
	return user === undefined || dialect === "key-id" ? "" : `?user=${encodeURIComponent(userRef(dialect, user))}`;
}

/** The body that ends a key. Pure. */
export function expireBody(dialect: Dialect, user: DialectUser | undefined, key: ListedKey): Readonly<Record<string, string>> {
	if (dialect === "key-id") return { id: key.id };
	return { ...(user === undefined ? {} : { user: userRef(dialect, user) }), key: key.key };
}

/** Whether two RFC 3339 texts name the same microsecond: a database may have cut off what is finer, JSON may leave out zeros. Pure. */
export function sameMoment(left: string, right: string): boolean {
	const moment = microseconds(left);
	return moment !== undefined && moment === microseconds(right);
}

function microseconds(text: string): string | undefined {
	const match = /^(.+?)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)$/.exec(text);
	if (match === null) return undefined;
	const seconds = Date.parse(`${match[1]}${match[3]}`) / 1_000;
	return Number.isNaN(seconds) ? undefined : `${seconds}.${(match[2] ?? "").padEnd(6, "0").slice(0, 6)}`;
}

function userRef(dialect: Dialect, user: DialectUser): string {
	return dialect === "name" ? user.name : user.id;
}
