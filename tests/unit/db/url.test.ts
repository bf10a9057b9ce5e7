import { expect, test } from "bun:test";
import { describePlace, parseDatabaseUrl } from "../../../src/db/url.ts";
import { Secret } from "../../../src/lib/secret.ts";

const parse = (url: string) => parseDatabaseUrl(new Secret(url));

test("a URL is read the way libpq reads it", () => {
	expect(parse("postgres://ada:p%40ss@db.example:6432/fleet?sslmode=require")).toEqual({
		host: "db.example",
		port: 6432,
		database: "fleet",
		user: "ada",
		pass: "p@ss",
		sslMode: "require",
		prepare: true,
	});
	expect(parse("postgresql://ada@[::1]/fleet")).toMatchObject({ host: "::1", port: 5432, pass: "", sslMode: "disable" });
	expect(parse("postgres://ada@localhost")).toMatchObject({ database: "ada" });
});

test("a socket directory is given as host, and never asked for TLS", () => {
	const place = parse("postgres://muster:pw@localhost/muster?host=%2Frun%2Fmuster%20one");
	expect(place.path).toBe("/run/muster one/.s.PGSQL.5432");
	expect(describePlace(place)).toBe("/run/muster one/.s.PGSQL.5432");
});

test("a pooler's URL turns prepared statements off", () => {
	expect(parse("postgres://ada@pool/fleet?prepare=false").prepare).toBe(false);
});

test("what is wrong with a URL is said without its password", () => {
	const wrong = [
		["ada:hunter2@db/fleet", /write postgres:\/\//],
		["not a url hunter2", /is no URL/],
		["mysql://ada:hunter2@db/fleet", /begins with mysql:/],
		["postgres://ada:hunter2@db/fleet?sslmode=yes", /sslmode=yes/],
		["postgres://ada:hunter2@db/fleet?sslmode=toString", /sslmode=toString/],
		["postgres://ada:hunter2@db/fleet?port=99999", /port 99999/],
		["postgres://ada:hunter2%@db/fleet", /password in the database URL holds a %/],
	] as const;
	for (const [url, message] of wrong) {
		expect(() => parse(url)).toThrow(message);
		expect(() => parse(url)).not.toThrow(/hunter2/);
	}
});
