import { describe, expect, test } from "bun:test";
import { type Config, parseConfig } from "../../src/config.ts";

const noFiles = (path: string): string => {
	throw new Error(`ENOENT: no such file, open '${path}'`);
};

const secretText = "0123456789abcdef0123456789abcdef";

function accepted(env: Record<string, string | undefined>): Config {
	const result = parseConfig(env, noFiles);
	if (!result.ok) throw new Error(result.problems.join("\n"));
	return result.config;
}

function problemsOf(env: Record<string, string | undefined>): readonly string[] {
	const result = parseConfig(env, noFiles);
	return result.ok ? [] : result.problems;
}

describe("the mesh (H6, H7)", () => {
	const whole = {
		MUSTER_MESH: "headscale",
		MUSTER_HEADSCALE_URL: "http://mesh:8080",
		MUSTER_HEADSCALE_API_KEY: secretText,
		MUSTER_HEADSCALE_TAGS: "tag:muster",
		MUSTER_SERVER_ADDR: "100.64.0.1:7480",
	};

	test("workers are told the URL that the server uses, unless they need another", () => {
		expect(accepted(whole).mesh).toMatchObject({ publicUrl: "http://mesh:8080", user: undefined, tags: ["tag:muster"] });
	});

	test("everything that is missing is said at once", () => {
		const problems = problemsOf({ MUSTER_MESH: "headscale" }).join("\n");
		for (const name of ["MUSTER_HEADSCALE_URL", "MUSTER_HEADSCALE_API_KEY", "MUSTER_HEADSCALE_USER"]) expect(problems).toContain(name);
		expect(problemsOf({ ...whole, MUSTER_HEADSCALE_TAGS: "" })).toHaveLength(1);
	});

	test.each(["MUSTER_HEADSCALE_URL", "MUSTER_HEADSCALE_TAGS"] as const)("%s without a mesh is said: it would be ignored", (name) => {
		expect(problemsOf({ [name]: whole[name] })).toEqual([`${name} is given without a mesh: set MUSTER_MESH=headscale, or unset it`]);
	});

	test.each([
		["MUSTER_HEADSCALE_URL", "mesh:8080", "give a URL"],
		["MUSTER_HEADSCALE_USER", "4robots", "for example muster"],
		["MUSTER_HEADSCALE_TAGS", "muster", "tag:muster"],
		["MUSTER_HEADSCALE_PUBLIC_URL", "mesh", "give a URL"],
		["MUSTER_HEADSCALE_API_KEY", "short", "16 or more"],
	])("%s=%s is refused with the form to give", (name, value, remedy) => {
		const problems = problemsOf({ ...whole, [name]: value });
		expect(problems).toHaveLength(1);
		expect(problems[0]).toContain(name);
		expect(problems[0]).toContain(remedy);
	});

	test("a mesh that is none is one problem, not one for each of its variables", () => {
		expect(problemsOf({ ...whole, MUSTER_MESH: "tailscale" })).toHaveLength(1);
	});
});
