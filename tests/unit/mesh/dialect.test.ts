import { describe, expect, test } from "bun:test";
import {
	type Dialect,
	dialectOfSchema,
	dialectOfVersion,
	expireBody,
	listQuery,
	mintBody,
	needsUser,
	sameMoment,
} from "../../../src/mesh/dialect.ts";

const user = { id: "12", name: "muster" };
const expiration = "2026-11-21T05:00:00.123456Z";
const key = { id: "3", createdAt: null, key: "the key", expiration };

describe("the dialect of a version (H7)", () => {
	test.each([
		["v0.22.3", undefined],
		["v0.23.0", "name"],
		["0.24.3", "name"],
		["v0.25.1", "name"],
		["v0.26.1", "user-id"],
		["v0.27.1", "user-id"],
		["v0.28.0", "key-id"],
		["v0.29.2", "key-id"],
		["v0.30.0-beta.1", "key-id"],
		["v1.0.0", "key-id"],
		["dev", undefined],
		["", undefined],
	] as const)("%s is %p", (version, dialect) => {
		expect(dialectOfVersion(version)).toBe(dialect);
	});

	const schema = (userFormat: string | undefined, expire: object) => ({
		definitions: {
			v1CreatePreAuthKeyRequest: { properties: { user: { type: "string", ...(userFormat === undefined ? {} : { format: userFormat }) } } },
			v1ExpirePreAuthKeyRequest: { properties: expire },
		},
	});
	test.each([
		["names users by name", schema(undefined, { user: {}, key: {} }), "name"],
		["names users by id", schema("uint64", { user: {}, key: {} }), "user-id"],
		["expires by id", schema("uint64", { id: {} }), "key-id"],
		["is another program's", { definitions: {} }, undefined],
		["is a page", "<html>", undefined],
		["is nothing", undefined, undefined],
	] as const)("a build without a version whose description %s", (_, description, dialect) => {
		expect(dialectOfSchema(description)).toBe(dialect);
	});
});

describe("what each dialect is sent (H7)", () => {
	const rows: readonly (readonly [Dialect, object, string, Readonly<Record<string, string>>])[] = [
		["name", { user: "muster" }, "?user=muster", { user: "muster", key: "the key" }],
		["user-id", { user: "12" }, "?user=12", { user: "12", key: "the key" }],
		["key-id", { user: "12" }, "", { id: "3" }],
	];
	test.each(rows)("%s", (dialect, owner, query, expire) => {
		expect(mintBody(dialect, user, ["tag:a"], expiration)).toEqual({
			...owner,
			reusable: false,
			ephemeral: false,
			expiration,
			aclTags: ["tag:a"],
		});
		expect(listQuery(dialect, user)).toBe(query);
		expect(expireBody(dialect, user, key)).toEqual(expire);
	});

	test("a tagged key needs no user since 0.28, and the field is left out: 0.30 refuses what it does not know", () => {
		expect(mintBody("key-id", undefined, ["tag:a"], expiration)).not.toHaveProperty("user");
		expect((["name", "user-id", "key-id"] as const).map(needsUser)).toEqual([true, true, false]);
	});
});

describe("a key is found by its expiration", () => {
	test.each([
		["itself", expiration, true],
		["its trailing zeros", "2026-11-21T05:00:00.123456000Z", true],
		["another zone", "2026-11-21T06:00:00.123456+01:00", true],
		["one microsecond off", "2026-11-21T05:00:00.123457Z", false],
		["without a fraction", "2026-11-21T05:00:00Z", false],
		["the zero time", "0001-01-01T00:00:00Z", false],
		["no time", "soon", false],
	] as const)("%s", (_, text, same) => {
		expect(sameMoment(text, expiration)).toBe(same);
	});

	test("two texts that are no times are not the same", () => {
		expect(sameMoment("soon", "soon")).toBe(false);
	});
});
