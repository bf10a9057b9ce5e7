import { expect, test } from "bun:test";
import { inspect } from "node:util";
import { Secret } from "../../../src/lib/secret.ts";

const secret = new Secret("the very text");

test.each([
	["String()", String(secret)],
	["concatenation", ["refused", secret].join(" ")],
	["JSON", JSON.stringify({ secret })],
	["util.inspect", inspect({ secret }, { depth: 9, showHidden: true })],
	["Bun.inspect", Bun.inspect({ secret })],
	["its properties", JSON.stringify([Object.entries(secret), Reflect.ownKeys(secret).map(String)])],
	["a copy", JSON.stringify(Object.assign({}, secret))],
])("%s does not show a secret", (_, shown) => {
	expect(shown).not.toContain("the very text");
});

test("only reveal gives the value", () => {
	expect(secret.reveal()).toBe("the very text");
});
