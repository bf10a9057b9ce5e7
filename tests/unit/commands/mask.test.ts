import { describe, expect, test } from "bun:test";
import { masked } from "../../../src/commands/mask.ts";

const hidden = "[secret]";
const cases: readonly (readonly [string, Record<string, unknown>, Record<string, unknown>])[] = [
	["an exec's environment", { env: ["A=1", "B=x=y", "C"], command: ["ls"] }, { env: [`A=${hidden}`, `B=${hidden}`, "C"], command: ["ls"] }],
	["Docker's", { spec: { Env: ["A=1"], Image: "x" } }, { spec: { Env: [`A=${hidden}`], Image: "x" } }],
	[
		"a stack's, by name",
		{ stack: { services: [{ environment: { A: "1", name: "2", key: "3", none: null } }] } },
		{ stack: { services: [{ environment: { A: hidden, name: hidden, key: hidden, none: null } }] } },
	],
	["a list of pairs", { env: [{ key: "A", value: "1" }] }, { env: [{ key: "A", value: hidden }] }],
	["a volume's driver options, which may hold a password", { driverOptions: { o: "password=x" } }, { driverOptions: { o: hidden } }],
	["an agent's key", { edgeKey: "x", edgeId: "1", image: "y" }, { edgeKey: hidden, edgeId: "1", image: "y" }],
	["a password at any depth", { a: [{ b: { Password: "x" } }] }, { a: [{ b: { Password: hidden } }] }],
	["an environment that is neither", { env: 7, environment: null }, { env: hidden, environment: null }],
];

describe("parameters as people may see them (S7)", () => {
	test.each(cases)("%s", (_, params, expected) => {
		expect(masked(params)).toEqual(expected);
	});
});
