import { expect, test } from "bun:test";
import { nameIsFamiliar, patternProblem } from "../../../src/sites/name-pattern.ts";

test.each(["^robot-\\d+$", "robot-*", "^(crane|lathe)-[0-9]{1,3}$", "^[a-z(+*)]+$", "^(?:a|b)x?$", "\\p{L}+"])(
	"A14: %s is a usable pattern",
	(pattern) => {
		expect(patternProblem(pattern)).toBeUndefined();
	},
);

test.each([
	["^(a+)+$", "group"],
	["^((a+))+$", "group"],
	["^(a|aa)+$", "group"],
	["^((a|b)+)+$", "group"],
	["^(?:a|a)*$", "group"],
	["(a){2,}", "group"],
	["a*a*a*a*a*x", "repeat"],
	["a?a?a?a?aaaa", "repeat"],
	["(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)", "alternatives"],
	["(a)\\1", "back references"],
	["(", "regular expression"],
	["", "1 to 200"],
])("a pattern that could stop the server is refused with the reason: %s", (pattern, reason) => {
	expect(patternProblem(pattern)).toContain(reason);
});

test("A14: a name is found by the pattern anywhere unless it is anchored, and every name is familiar without one", () => {
	expect(nameIsFamiliar("^robot-\\d+$", "robot-17")).toBe(true);
	expect(nameIsFamiliar("^robot-\\d+$", "lathe-1")).toBe(false);
	expect(nameIsFamiliar("robot", "a robot here")).toBe(true);
	expect(nameIsFamiliar(null, "anything")).toBe(true);
});
