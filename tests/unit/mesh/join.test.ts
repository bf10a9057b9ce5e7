import { describe, expect, test } from "bun:test";
import { joinNodes } from "../../../src/mesh/join.ts";
import { pageOfNodes } from "../../../src/mesh/nodes.ts";
import type { MeshNode } from "../../../src/mesh/port.ts";
import type { HostReport } from "../../../src/mesh/report-store.ts";

function node(id: string, change: Partial<MeshNode> = {}): MeshNode {
	return {
		id,
		name: `node-${id}`,
		addresses: [`100.64.0.${id}`],
		online: true,
		lastSeenAt: null,
		key: { id: `k${id}`, createdAt: null, expiration: null },
		...change,
	};
}

function report(hostId: string, change: Partial<HostReport> = {}): HostReport {
	return { hostId, hostName: hostId, at: 1, state: "Running", addresses: [], nodeName: null, ...change };
}

/** What came of it, short: name of the node, host, place, and a mark when the addresses differ. */
function told(nodes: readonly MeshNode[], reports: readonly HostReport[], keys: Record<string, string>, guess = true): string[] {
	return joinNodes(nodes, reports, new Map(Object.entries(keys)), guess).map(
		({ listed, hostId, place, addressesDiffer }) => `${listed?.id ?? "-"} ${hostId ?? "-"} ${place}${addressesDiffer ? " differ" : ""}`,
	);
}

describe("nodes as both sides see them (H17)", () => {
	const rows: readonly (readonly [string, MeshNode[], HostReport[], Record<string, string>, string[]])[] = [
		["nothing", [], [], {}, []],
		["joined with the host's key, and reported", [node("1")], [report("a", { addresses: ["100.64.0.1"] })], { k1: "a" }, ["1 a BOTH"]],
		["reported with another address", [node("1")], [report("a", { addresses: ["100.64.0.9"] })], { k1: "a" }, ["1 a BOTH differ"]],
		["reported without an address", [node("1")], [report("a")], { k1: "a" }, ["1 a BOTH differ"]],
		[
			"the same addresses in another order",
			[node("1", { addresses: ["100.64.0.1", "fd7a::1"] })],
			[report("a", { addresses: ["fd7a::1", "100.64.0.1"] })],
			{ k1: "a" },
			["1 a BOTH"],
		],
		["joined with the host's key, and never reported", [node("1")], [], { k1: "a" }, ["1 a MESH_ONLY"]],
		["of nobody's key", [node("1", { key: null })], [], {}, ["1 - MESH_ONLY"]],
		["reported only", [], [report("a")], {}, ["- a REPORTED_ONLY"]],
		["without a key, by its name", [node("1", { key: null })], [report("a", { nodeName: "node-1" })], {}, ["1 a BOTH differ"]],
		["without a key, by its address", [node("1", { key: null })], [report("a", { addresses: ["100.64.0.1"] })], {}, ["1 a BOTH"]],
		[
			"the name decides before the address",
			[node("1", { key: null })],
			[report("a", { addresses: ["100.64.0.1"] }), report("b", { nodeName: "node-1" })],
			{},
			["- a REPORTED_ONLY", "1 b BOTH differ"],
		],
		[
			"the key decides before the name: a worker cannot take another host's node by saying its name",
			[node("1")],
			[report("a", { nodeName: "node-1", addresses: ["100.64.0.1"] })],
			{ k1: "b" },
			["1 b MESH_ONLY", "- a REPORTED_ONLY"],
		],
		[
			"a machine that joined twice is the node that is online",
			[node("1", { online: false }), node("2")],
			[report("a", { addresses: ["100.64.0.2"] })],
			{ k1: "a", k2: "a" },
			["1 a MESH_ONLY", "2 a BOTH"],
		],
	];
	test.each(rows)("%s", (_, nodes, reports, keys, expected) => {
		expect(told(nodes, reports, keys).sort()).toEqual([...expected].sort());
	});

	test("without guessing, nothing but the key joins: what another tenant's worker says shows it no node (S10)", () => {
		const reports = [report("a", { nodeName: "node-1", addresses: ["100.64.0.1"] })];
		expect(told([node("1", { key: null })], reports, {}, false)).toEqual(["- a REPORTED_ONLY", "1 - MESH_ONLY"]);
	});

	test("pages follow each other without gap or repetition, from either end", () => {
		const all = joinNodes(
			Array.from({ length: 7 }, (_, index) => node(String(index))),
			[],
			new Map(),
			true,
		);
		const place = (index: number) => `node-${index}\nnode ${index}`;
		const ids = (page: ReturnType<typeof pageOfNodes>) => page.map(({ listed }) => listed?.id);
		expect(ids(pageOfNodes(all, { limit: 3, backward: false }))).toEqual(["0", "1", "2"]);
		expect(ids(pageOfNodes(all, { limit: 3, backward: false, after: place(2) }))).toEqual(["3", "4", "5"]);
		expect(ids(pageOfNodes(all, { limit: 3, backward: true }))).toEqual(["6", "5", "4"]);
		expect(ids(pageOfNodes(all, { limit: 9, backward: true, before: place(4) }))).toEqual(["3", "2", "1", "0"]);
	});
});
