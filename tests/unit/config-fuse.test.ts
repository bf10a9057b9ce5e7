import { expect, test } from "bun:test";
import { parseConfig } from "../../src/config.ts";

const noFiles = () => {
	throw new Error("ENOENT");
};
const parse = (env: Record<string, string>) => parseConfig(env, noFiles);

function accepted(env: Record<string, string>) {
	const result = parse(env);
	if (!result.ok) throw new Error(result.problems.join());
	return result.config;
}

function problemsOf(env: Record<string, string>): readonly string[] {
	const result = parse(env);
	return result.ok ? [] : result.problems;
}

const url = "https://portainer.mesh:9443";
const apiKey = "ptr_an-access-token";
const pair = { MUSTER_PORTAINER_URL: url, MUSTER_PORTAINER_API_KEY: apiKey };

test("without a word a fusion has two minutes, and there is no Portainer (H11)", () => {
	expect(accepted({})).toMatchObject({ fuseDeadlineSeconds: 120, portainer: undefined });
});

test("every variable of fusing reaches the configuration", () => {
	const { portainer, fuseDeadlineSeconds } = accepted({
		...pair,
		MUSTER_FUSE_DEADLINE_SECONDS: "60",
		MUSTER_PORTAINER_URL: `${url}/`,
		MUSTER_PORTAINER_EDGE_URL: "http://100.64.0.2:9000",
		MUSTER_PORTAINER_AGENT_IMAGE: "portainer/agent:2.33.5",
		MUSTER_PORTAINER_INSECURE_TLS: "on",
	});
	expect(fuseDeadlineSeconds).toBe(60);
	expect(portainer).toMatchObject({ url, edgeUrl: "http://100.64.0.2:9000", agentImage: "portainer/agent:2.33.5", insecureTls: true });
	expect(portainer?.apiKey.reveal()).toBe(apiKey);
	expect(JSON.stringify(portainer)).not.toContain(apiKey);
	expect(accepted(pair).portainer).toMatchObject({ edgeUrl: url, agentImage: undefined, insecureTls: false });
});

test("agents are never sent to localhost, which is another machine for each of them (H11)", () => {
	const env = { ...pair, MUSTER_PORTAINER_URL: "http://localhost:9000" };
	expect(problemsOf(env)[0]).toContain("MUSTER_PORTAINER_EDGE_URL");
	expect(accepted({ ...env, MUSTER_PORTAINER_EDGE_URL: "http://10.0.0.1:9000" }).portainer?.edgeUrl).toBe("http://10.0.0.1:9000");
	expect(problemsOf({ ...env, MUSTER_PORTAINER_EDGE_URL: "http://localhost:9000" })[0]).toStartWith("MUSTER_PORTAINER_EDGE_URL");
});

test.each([
	[{ MUSTER_PORTAINER_URL: url }, "MUSTER_PORTAINER_API_KEY is not given"],
	[{ MUSTER_PORTAINER_API_KEY: apiKey }, "MUSTER_PORTAINER_URL is not given"],
	[{ MUSTER_PORTAINER_INSECURE_TLS: "on" }, "MUSTER_PORTAINER_URL is not given"],
	[{ MUSTER_PORTAINER_EDGE_URL: url }, "MUSTER_PORTAINER_URL is not given"],
	[{ ...pair, MUSTER_PORTAINER_URL: "portainer:9443" }, "give a URL"],
	[{ ...pair, MUSTER_PORTAINER_API_KEY: "short" }, "8 or more"],
	[{ MUSTER_FUSE_DEADLINE_SECONDS: "0" }, "from 1 to 3600"],
])("%j is refused and says what to give", (env, remedy) => {
	const problems = problemsOf(env);
	expect(problems).toHaveLength(1);
	expect(problems[0]).toContain(remedy);
	expect(problems[0]).not.toContain(apiKey);
});
