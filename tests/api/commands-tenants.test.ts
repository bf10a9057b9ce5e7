import { expect, setDefaultTimeout, test } from "bun:test";
import { mintAdminToken } from "../../src/auth/tokens.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { Secret } from "../../src/lib/secret.ts";
import { hex } from "../support/pipeline.ts";
import { scriptedWorker } from "../support/scripted-worker.ts";
import { until } from "../support/until.ts";
import { act, askAs, newHost, readOutput } from "./commands-support.ts";
import { type Bench, onEachRuntime } from "./support.ts";

// For hangs only.
setDefaultTimeout(60_000);

const jwtSecret = new Secret("a secret of the tests, forty characters.");
const tokenOf = (tenant: string, role: "viewer" | "operator" | "admin") =>
	mintAdminToken(jwtSecret, systemClock, { role, tenant, subject: "tests", hours: 1 });

onEachRuntime("who may read and end commands", (bench: Bench) => {
	async function given(name: string, more: object = {}) {
		const host = await newHost(bench, "FUSED");
		const worker = await scriptedWorker(bench.server, host);
		const { id } = await act(bench.server, name, { hostId: host.hostId, container: "web", ...more });
		await worker.told("ORDER", id);
		await worker.output(id, 0, "for its reader");
		return { worker, id: String(id) };
	}

	test("another tenant's admin is told of a command's output what is told of one that does not exist (S10)", async () => {
		const { worker, id } = await given("containerLogs");
		const token = await tokenOf(`t-${hex(6)}`, "admin");
		const none = `${id.slice(0, -4)}zzzz`;
		const [theirs, nobodys] = [readOutput(bench.server, id, token), readOutput(bench.server, none, token)];
		await until("both are answered", () => theirs.errors.length === 1 && nobodys.errors.length === 1);
		expect(theirs.errors[0]?.replaceAll(id, "<it>")).toBe(String(nobodys.errors[0]?.replaceAll(none, "<it>")));
		expect(theirs.errors[0]).toContain("NOT_FOUND");
		expect(theirs.chunks).toEqual([]);
		await Promise.all([theirs.stop(), nobodys.stop(), worker.close()]);
	});

	test.each([
		["containerLogs", {}, "viewer", false],
		["containerLogs", {}, "operator", true],
		["execContainer", { command: ["ls"] }, "operator", false],
		["execContainer", { command: ["ls"] }, "admin", true],
		["startContainer", {}, "operator", false],
	] as const)("the output of %s %p is read by a %s: %p (A15)", async (name, more, role, may) => {
		const { worker, id } = await given(name, more);
		const reading = readOutput(bench.server, id, await tokenOf("default", role));
		await until("it is answered", () => reading.errors.length + reading.chunks.length > 0);
		if (may) expect(reading.chunks[0]?.text).toBe("for its reader");
		else expect(reading.errors[0]).toContain("FORBIDDEN");
		await Promise.all([reading.stop(), worker.close()]);
	});

	test("an operator ends logs and no change; a viewer sees a command and not its result (A15)", async () => {
		const { worker, id } = await given("inspectContainer");
		await worker.report(id, "SUCCEEDED", { result: { Env: ["A=secret"] } });
		const change = await given("startContainer");
		const [viewer, operator] = [await tokenOf("default", "viewer"), await tokenOf("default", "operator")];
		const query = "query ($id: ID!) { command(id: $id) { state result } }";
		expect((await askAs(bench.server, viewer, query, { id })).data.command).toEqual({ state: "SUCCEEDED", result: null });
		expect((await askAs(bench.server, operator, query, { id })).data.command.result).toEqual({ Env: ["A=[secret]"] });
		const end = "mutation ($id: ID!) { cancelCommand(id: $id) { command { id } } }";
		expect((await askAs(bench.server, operator, end, { id: change.id })).errors[0]?.message).toContain("needs the role admin");
		expect((await askAs(bench.server, operator, end, { id })).errors).toEqual([]);
		await Promise.all([worker.close(), change.worker.close()]);
	});
});
