/** Lines that let a machine in on a server that takes no host tokens: an enrollment key's, which needs no shared secret. */
import { expect, test } from "bun:test";
import { asAdmin, graphql } from "../support/muster.ts";
import { hex } from "../support/pipeline.ts";
import { enroll, newSite, onEachRuntime } from "./support.ts";

const create = `mutation ($input: CreateEnrollmentKeyInput!, $format: SnippetFormat) {
	createEnrollmentKey(input: $input, format: $format) { secret snippet } }`;

onEachRuntime("install lines without a shared secret (B1, H1)", (bench) => {
	test("an enrollment key comes with the line that installs the worker that was named, in each form; a key for nobody by name has none", async () => {
		const { siteCode } = await newSite(bench.server);
		const workerName = `it's ${hex(4)}`;
		for (const format of ["DOCKER", "SHELL", "COMPOSE"]) {
			const input = { name: "one", siteCode, maxUses: 1, workerName };
			const { secret, snippet } = (await asAdmin(bench.server, create, { input, format })).createEnrollmentKey;
			expect([format, snippet.includes(secret), snippet.includes(bench.server.url), snippet.includes("MUSTER_WORKER_NAME")]).toEqual([
				format,
				true,
				true,
				true,
			]);
			const worker = { name: workerName, machineUid: hex(32) };
			const { data } = await enroll(bench.server, { enrollmentId: hex(16), credential: { enrollmentKey: secret }, worker });
			expect(data.enroll).toMatchObject({ outcome: "NEW", name: workerName });
		}
		expect((await asAdmin(bench.server, create, { input: { name: "any", siteCode } })).createEnrollmentKey.snippet).toBeNull();
	});

	test("a name that no worker can have is refused, and no key is made", async () => {
		const { siteCode } = await newSite(bench.server);
		for (const workerName of ["", " robot", "a\nb"]) {
			const authorization = { authorization: `Bearer ${bench.server.adminToken}` };
			const { errors } = await graphql(bench.server, create, { input: { name: "one", siteCode, workerName } }, authorization);
			expect([workerName, errors[0]?.extensions?.["code"]]).toEqual([workerName, "BAD_USER_INPUT"]);
		}
		const query = "query ($siteCode: String) { enrollmentKeys(siteCode: $siteCode) { totalCount } }";
		expect((await asAdmin(bench.server, query, { siteCode })).enrollmentKeys.totalCount).toBe(0);
	});

	test("the tenant tells that host tokens are not taken here, and that there is no mesh", async () => {
		expect(await asAdmin(bench.server, "{ tenant { takesHostTokens } mesh { provider } }")).toEqual({
			tenant: { takesHostTokens: false },
			mesh: null,
		});
	});
});
