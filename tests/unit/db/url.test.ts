import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describePlace, parseDatabaseUrl } from "../../../src/db/url.ts";
import { Secret } from "../../../src/lib/secret.ts";

function parse(url: string) {
	return parseDatabaseUrl(new Secret(url));
}

/** The message that refuses a URL. */
function refusal(url: string): string {
	try {
		parse(url);
	} catch (error) {
		return error instanceof Error ? error.message : String(error);
	}
	throw new Error(`Accepted: ${url}`);
}

test("a URL is taken apart, and what it leaves out is what libpq takes", () => {
	expect(parse("postgres://ann:pw@db.example:6432/app")).toEqual({
		host: "db.example",
		port: 6432,
		database: "app",
		user: "ann",
		pass: "pw",
		sslMode: expect.any(String),
		prepare: true,
	});
	expect(parse("postgresql:///")).toMatchObject({ host: "localhost", port: 5432, database: "postgres", user: "postgres", pass: "" });
	expect(parse("postgres://ann@h")).toMatchObject({ database: "ann", user: "ann" });
});

test("what is percent-encoded is read as it was meant, in user, password, database and host", () => {
	expect(parse("postgres://a%40b:p%3A%2F%3F%23%25%20ss@h/my%20db")).toMatchObject({ user: "a@b", pass: "p:/?#% ss", database: "my db" });
	expect(parse("postgres://u:%C3%BC@h/d").pass).toBe("ü");
	expect(parse("postgres://u:p@[2001:db8::1]:5433/d")).toMatchObject({ host: "2001:db8::1", port: 5433 });
});

test("a host that is a directory means the socket in it", () => {
	const place = parse("postgres://u:p@localhost/d?host=%2Fvar%2Frun%2Fpostgresql");
	expect(place).toMatchObject({ host: "/var/run/postgresql", path: "/var/run/postgresql/.s.PGSQL.5432" });
	expect(parse("postgres://u@localhost:6000/d?host=/run").path).toBe("/run/.s.PGSQL.6000");
	expect(parse("postgres://u@localhost/d?host=/run&port=6001").path).toBe("/run/.s.PGSQL.6001");
	expect(parse("postgres://u@localhost/d?host=other.example")).not.toHaveProperty("path");
});

describe("sslmode", () => {
	test.each([
		["disable", "disable"],
		["allow", "prefer"],
		["prefer", "prefer"],
		["require", "require"],
		["verify-ca", "verify-ca"],
		["verify-full", "verify-full"],
	])("%s is understood as %s", (given, understood) => {
		expect(parse(`postgres://u@h/d?sslmode=${given}`).sslMode).toBe(understood as never);
	});

	test.each(["", "REQUIRE", "yes", "no-verify", "toString", "constructor"])(
		"%p is refused with the words that exist: nothing unknown falls back to no TLS",
		(given) => {
			const message = refusal(`postgres://u:hunter2@h/d?sslmode=${given}`);
			expect(message).toContain(`sslmode=${given}`);
			expect(message).toContain("verify-full");
		},
	);

	test("sslrootcert is read, and a file that is not there is refused", () => {
		const dir = mkdtempSync(join(tmpdir(), "muster-url-"));
		try {
			writeFileSync(join(dir, "ca.pem"), "PEM");
			expect(parse(`postgres://u@h/d?sslmode=verify-full&sslrootcert=${join(dir, "ca.pem")}`).sslAuthorities).toBe("PEM");
			expect(refusal(`postgres://u:hunter2@h/d?sslrootcert=${join(dir, "none.pem")}`)).toContain("none.pem");
			expect(parse("postgres://u@h/d?sslrootcert=system")).not.toHaveProperty("sslAuthorities");
		} finally {
			rmSync(dir, { recursive: true });
		}
	});
});

test("prepare=false, for a pooler, is understood; nothing else turns preparing off", () => {
	expect(parse("postgres://u@h/d?prepare=false").prepare).toBe(false);
	expect(parse("postgres://u@h/d?prepare=true").prepare).toBe(true);
});

test.each([
	["no URL at all", "hunter2"],
	["words", "host=db password=hunter2"],
	["another scheme", "mysql://ann:hunter2@h/d"],
	["an unknown sslmode", "postgres://ann:hunter2@h/d?sslmode=tls"],
	["port 0", "postgres://ann:hunter2@h/d?port=0"],
	["a port beyond the last", "postgres://ann:hunter2@h/d?port=65536"],
	["a port that is none", "postgres://ann:hunter2@h/d?port=abc"],
	["a port in its place that is none", "postgres://ann:hunter2@h:99999/d"],
	["a broken encoding in the password", "postgres://ann:hunter2%zz@h/d"],
	["a broken encoding in the user", "postgres://ann%zz:hunter2@h/d"],
	["a broken encoding in the database", "postgres://ann:hunter2@h/d%zz"],
	["a missing authority file", "postgres://ann:hunter2@h/d?sslrootcert=/nowhere/ca.pem"],
])("%s is refused with a message that names no password and no user", (_, url) => {
	const message = refusal(url);
	expect(message).not.toContain("hunter2");
	expect(message).not.toContain("ann");
	expect(message.length).toBeGreaterThan(20);
});

test("a port that is refused is named", () => {
	expect(refusal("postgres://u@h/d?port=65536")).toContain("65536");
	expect(refusal("postgres://u@h:0/d")).toContain("port 0");
});

test("the place for logs names no user and no password", () => {
	expect(describePlace(parse("postgres://ann:hunter2@h:6000/d"))).toBe("h:6000");
	expect(describePlace(parse("postgres://ann:hunter2@h/d?host=/run"))).toBe("/run/.s.PGSQL.5432");
});
