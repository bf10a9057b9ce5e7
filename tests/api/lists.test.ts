/** What a page of lists needs: places anywhere in the list of hosts, names, words in the audit log, keys that were rotated away. */
import { expect, test } from "bun:test";
import { asAdmin, graphql } from "../support/muster.ts";
import { hex } from "../support/pipeline.ts";
import { enroll, newSite, onEachRuntime, rotate } from "./support.ts";
import { enrollInput } from "../support/pipeline.ts";

const makeHost = "mutation ($input: CreateHostInput!) { createHost(input: $input) { host { id } } }";
const hostsQuery =
	"query ($name: String, $skip: Int, $first: Int) { hosts(name: $name, skip: $skip, first: $first) { totalCount nodes { name } } }";
const auditQuery =
	"query ($search: String, $first: Int) { auditLog(search: $search, first: $first) { totalCount nodes { action subject detail } } }";

onEachRuntime("lists", (bench) => {
	const audit = async (search: string) => (await asAdmin(bench.server, auditQuery, { search })).auditLog;

	test("hosts are found by a part of their name in any case, and pages begin at any place", async () => {
		const tag = hex(5);
		for (const index of [1, 2, 3, 4, 5]) await asAdmin(bench.server, makeHost, { input: { name: `Press-${tag}-${index}` } });
		const names = async (variables: object) => (await asAdmin(bench.server, hostsQuery, variables)).hosts;

		expect(await names({ name: `press-${tag}`, skip: 1, first: 2 })).toEqual({
			totalCount: 5,
			nodes: [{ name: `Press-${tag}-4` }, { name: `Press-${tag}-3` }],
		});
		expect(await names({ name: `${tag}-5` })).toMatchObject({ totalCount: 1 });
		expect(await names({ name: tag, skip: 9 })).toEqual({ totalCount: 5, nodes: [] });
		expect(await names({ name: `%${tag}` })).toMatchObject({ totalCount: 0 });
		const refused = await graphql(bench.server, hostsQuery, { skip: -1 }, { authorization: `Bearer ${bench.server.adminToken}` });
		expect(refused.errors[0]).toMatchObject({ message: "skip is -1: it is 0 or more", extensions: { code: "BAD_USER_INPUT" } });
	});

	test("S7: the audit log is searched by the beginnings of words, all of which a line must hold", async () => {
		const tag = `q${hex(6)}`;
		await asAdmin(bench.server, makeHost, { input: { name: `edge ${tag}é` } });
		await asAdmin(bench.server, makeHost, { input: { name: `other ${tag}` } });

		expect((await audit(tag)).totalCount).toBe(2);
		expect((await audit(`${tag.slice(0, 9).toUpperCase()} host.creat`)).totalCount).toBe(2);
		expect((await audit(`edge ${tag}`)).nodes).toEqual([expect.objectContaining({ action: "host.created" })]);
		expect((await audit(`edge ${tag} operator local`)).totalCount).toBe(1);
		expect((await audit(`${tag} rotated`)).totalCount).toBe(0);
		expect((await audit(`${tag}é`)).totalCount).toBe(1);
	});

	test.each([
		["' | 'edge", "edge"],
		["host:* & !creat", "host creat"],
		["\\ hos", "hos"],
		["' or 1=1 --", "or 1 1"],
		["a".repeat(10_000), "a".repeat(500)],
		["\u0000created", "created"],
		["日本", "日本"],
	])("S7: a search is one for its words, whatever its signs mean to PostgreSQL (%#)", async (search, words) => {
		expect(await audit(search)).toEqual(await audit(words));
	});

	test("S7: an enrollment is found by its machine's name, its uid, its worker and where it came from, a refused one by why", async () => {
		const site = await newSite(bench.server);
		const name = `press-${hex(5)}`;
		const input = enrollInput({ ...site, name });
		const workerId = String((await enroll(bench.server, input, "192.0.2.77")).data.enroll.workerId);
		const line = { totalCount: 1, nodes: [expect.objectContaining({ action: "enrollment.admitted", subject: workerId })] };
		const { machineUid } = input.worker;
		const beginnings = [
			name,
			name.toUpperCase(),
			name.slice(0, -2),
			machineUid,
			workerId,
			`admitted 192.0.2.77 ${name}`,
			`enrollment.adm ${name}`,
		];
		for (const words of [...beginnings, `source:192.0.2.77 ${name}`, `192.0.2 ${workerId}`]) expect(await audit(words)).toEqual(line);
		expect((await audit(`refused ${name}`)).totalCount).toBe(0);
		await rotate(bench.server, site.siteCode);
		const late = enrollInput({ ...site, name: `late-${hex(5)}` });
		await enroll(bench.server, late);
		expect((await audit(`refused revoked ${late.worker.name}`)).totalCount).toBe(1);
	});

	test.each(["worker:3", "source:x", "東京　サーバ", "it's\\here"])(
		"S7: an enrollment of a machine named %s is found by it",
		async (prefix) => {
			const site = await newSite(bench.server);
			const name = `${prefix}-${hex(5)}`;
			const workerId = String((await enroll(bench.server, enrollInput({ ...site, name }), "192.0.2.78")).data.enroll.workerId);
			expect(await audit(name)).toEqual({ totalCount: 1, nodes: [expect.objectContaining({ subject: workerId })] });
		},
	);

	test("S7: a line whose detail is longer than the index takes is written all the same", async () => {
		const code = `s-${hex(6)}`;
		const input = { code, name: "日".repeat(100), workerNamePattern: `(${"é".repeat(90)})` };
		await asAdmin(bench.server, "mutation ($input: CreateSiteInput!) { createSite(input: $input) { site { id } } }", { input });
		expect((await audit(code)).totalCount).toBe(1);
	});

	test("S2: a site shows the keys before its active one, newest first, with their uses", async () => {
		const site = await newSite(bench.server);
		await enroll(bench.server, enrollInput(site));
		const second = await rotate(bench.server, site.siteCode, 3_600);
		await enroll(bench.server, enrollInput({ ...site, key: second }));
		await rotate(bench.server, site.siteCode);
		const query = "query ($code: String!) { site(code: $code) { key { version uses } formerKeys { version uses } } }";
		const reply = await asAdmin(bench.server, query, { code: site.siteCode });
		expect(reply.site).toEqual({
			key: { version: 3, uses: 0 },
			formerKeys: [
				{ version: 2, uses: 1 },
				{ version: 1, uses: 1 },
			],
		});
	});
});
