/** Nodes, their removal and the mesh's alerts (H1, H17): on the fake, whose machines join in this process; real clients join in tests/e2e. */
import { describe, expect, test } from "bun:test";
import { hostsByIds } from "../../src/hosts/store.ts";
import { deleteHost } from "../../src/hosts/onboarding.ts";
import { nodesOf } from "../../src/mesh/nodes.ts";
import { forgetEndedKeys, reapKeys } from "../../src/mesh/reaper.ts";
import { meshWatch } from "../../src/mesh/watch.ts";
import { deleteWorker, revokeWorker } from "../../src/workers/workers.ts";
import { backends, usableKeys } from "../support/mesh/backends.ts";
import { admin, hex, rowCount } from "../support/pipeline.ts";
import { until } from "../support/until.ts";
import { ageKeys, inputFor, letIn, meshStage, newHost, reapedTo, send } from "./stage.ts";

describe.each(backends.filter(({ name }) => name.startsWith("fake")))("nodes on $name", (kind) => {
	const stage = meshStage(kind);
	/** A host whose worker has joined. */
	const joined = async () => {
		const host = await newHost(stage);
		const { workerId, mesh } = letIn(await send(stage.left, inputFor(host)));
		const node = stage.backend.join?.(mesh?.authKey ?? "", host.name);
		if (node === undefined) throw new Error("Only the fake lets a test join");
		return { host, workerId, ...node };
	};
	const listed = async () => (await stage.left.mesh.nodes()).map(({ id }) => id);
	/** What a heartbeat says. */
	const report = async (workerId: string, hostId: string, name: string, address: string) => {
		const worker = { kind: "worker", tenantId: admin.tenantId, workerId, hostId, siteId: null, name, credentialId: "cred_test" } as const;
		stage.left.heartbeats.beat(worker as never, { mesh: { state: "Running", addresses: [address], nodeName: name } });
		await until("the report is written", async () => {
			const [host] = await hostsByIds(stage.left.deps.db.sql, admin.tenantId, [hostId]);
			return host?.meshAddress === address;
		});
	};

	test("H17: a node is known by the key it joined with; what its worker reports stands beside it, and another address is marked", async () => {
		const { host, workerId, nodeId, address } = await joined();
		const its = async () => (await nodesOf(stage.left.deps, admin.tenantId)).find(({ listed: node }) => node?.id === nodeId);
		expect(await its()).toMatchObject({ place: "MESH_ONLY", hostId: host.id, addressesDiffer: false });
		await report(workerId, host.id, host.name, address);
		expect(await its()).toMatchObject({ place: "BOTH", hostId: host.id, addressesDiffer: false, reported: { state: "Running" } });
		await report(workerId, host.id, host.name, "100.99.0.1");
		expect(await its()).toMatchObject({ place: "BOTH", hostId: host.id, addressesDiffer: true });
	});

	test("a deleted host's node goes with it", async () => {
		const { host, nodeId } = await joined();
		const before = await usableKeys(stage.backend);
		expect(await listed()).toContain(nodeId);
		await deleteHost(stage.left.deps, admin, host.id);
		await reapedTo(stage, before);
		expect(await listed()).not.toContain(nodeId);
		expect(await rowCount(stage.database.db, "mesh_keys", "host_id is null")).toBe(0);
	});

	test("a host is deleted at once though Headscale is down; its node goes when that is back, by another server, and no other does", async () => {
		const [gone, stays] = [await joined(), await joined()];
		await stage.gate.shut();
		await deleteHost(stage.left.deps, admin, gone.host.id);
		expect(await rowCount(stage.database.db, "hosts", `id = '${gone.host.id}'`)).toBe(0);
		await stage.gate.open();
		expect(await listed()).toContain(gone.nodeId);
		await reapedTo(stage, await usableKeys(stage.backend), stage.right);
		expect(await listed()).not.toContain(gone.nodeId);
		expect(await listed()).toContain(stays.nodeId);
	});

	test("H6: a revoked worker's node leaves the mesh, and its keys end with it; no other does", async () => {
		const [gone, stays] = [await joined(), await joined()];
		const before = await usableKeys(stage.backend);
		await revokeWorker(stage.left.deps, admin, gone.workerId);
		await reapedTo(stage, before);
		expect(await listed()).not.toContain(gone.nodeId);
		expect(await listed()).toContain(stays.nodeId);
		// Its host stays, and goes when somebody says so.
		expect(await rowCount(stage.database.db, "hosts", `id = '${gone.host.id}'`)).toBe(1);
		await deleteWorker(stage.left.deps, admin, gone.workerId);
	});

	test("H6: a worker is revoked at once though Headscale is down; its node goes when that is back, by another server", async () => {
		const { workerId, nodeId } = await joined();
		await stage.gate.shut();
		expect((await revokeWorker(stage.left.deps, admin, workerId)).state).toBe("REVOKED");
		await reapKeys(stage.left.deps, stage.left.mesh);
		await stage.gate.open();
		expect(await listed()).toContain(nodeId);
		await reapedTo(stage, await usableKeys(stage.backend), stage.right);
		expect(await listed()).not.toContain(nodeId);
	});

	test("H6: a revoked worker that had not joined yet has no key that lets it in later", async () => {
		const before = await usableKeys(stage.backend);
		const { workerId } = letIn(await send(stage.left, inputFor(await newHost(stage))));
		expect(await usableKeys(stage.backend)).toBe(before + 1);
		await revokeWorker(stage.left.deps, admin, workerId);
		await reapedTo(stage, before);
	});

	test("an ended key of a living host is forgotten in time, unless a node joined with it, or the mesh does not say", async () => {
		const ended = () => rowCount(stage.database.db, "mesh_keys", "state = 'ended' and host_id is not null");
		const before = await ended();
		const replaced = async (join: boolean) => {
			const host = await newHost(stage);
			const input = inputFor(host);
			const { mesh } = letIn(await send(stage.left, input));
			if (join) stage.backend.join?.(mesh?.authKey ?? "", host.name);
			letIn(await send(stage.left, input));
		};
		await replaced(true);
		await replaced(false);
		await until("both are ended", async () => {
			await reapKeys(stage.left.deps, stage.left.mesh);
			return (await ended()) === before + 2;
		});
		await forgetEndedKeys(stage.left.deps, stage.left.mesh);
		expect(await ended()).toBe(before + 2);
		await stage.database.db.sql`update mesh_keys set next_attempt_at = now() - interval '31 days' where state = 'ended'`;
		await stage.gate.shut();
		expect(await forgetEndedKeys(stage.left.deps, stage.left.mesh)).toBe(0);
		await stage.gate.open();
		expect(await forgetEndedKeys(stage.left.deps, stage.left.mesh)).toBe(before + 2);
		expect(await ended()).toBe(1);
		// Looked at again only after as long again.
		expect(await forgetEndedKeys(stage.right.deps, stage.right.mesh)).toBe(0);
	});

	test("a machine that moved to another host keeps its node: it stays a member when the host it left is deleted, and goes with the new one", async () => {
		const machineUid = `uid-${hex(8)}`;
		const [left, taken] = [await newHost(stage), await newHost(stage)];
		const { mesh } = letIn(await send(stage.left, inputFor(left, { machineUid })));
		const node = stage.backend.join?.(mesh?.authKey ?? "", left.name);
		// It is the machine that is known, under the other host's name: a client that is a member needs no other key.
		const input = inputFor(taken, { machineUid });
		expect(letIn(await send(stage.left, { ...input, worker: { ...input.worker, hostname: left.name } })).hostId).toBe(taken.id);
		await deleteHost(stage.left.deps, admin, left.id);
		await reapedTo(stage, await usableKeys(stage.backend));
		expect(await listed()).toContain(node?.nodeId as never);
		expect((await nodesOf(stage.left.deps, admin.tenantId)).find(({ listed: its }) => its?.id === node?.nodeId)?.hostId).toBe(taken.id);
		await deleteHost(stage.left.deps, admin, taken.id);
		await reapedTo(stage, (await usableKeys(stage.backend)) - 1);
		expect(await listed()).not.toContain(node?.nodeId as never);
	});

	test("a host whose worker never joined leaves no key that lets it in later", async () => {
		const before = await usableKeys(stage.backend);
		const host = await newHost(stage);
		letIn(await send(stage.left, inputFor(host)));
		expect(await usableKeys(stage.backend)).toBe(before + 1);
		await deleteHost(stage.left.deps, admin, host.id);
		await reapedTo(stage, before);
	});

	test("the node of a key that was replaced goes too: it may have joined with either", async () => {
		const host = await newHost(stage);
		const input = inputFor(host);
		const first = letIn(await send(stage.left, input));
		const node = stage.backend.join?.(first.mesh?.authKey ?? "", host.name);
		letIn(await send(stage.left, input));
		await ageKeys(stage);
		await reapedTo(stage, await usableKeys(stage.backend));
		await deleteHost(stage.left.deps, admin, host.id);
		await until("the node is gone", async () => {
			await reapedTo(stage, (await usableKeys(stage.backend)) - 1).catch(() => {});
			return !(await listed()).includes(node?.nodeId ?? "");
		});
	});

	test("H8: of one outage there is one alert and one end of it, however many servers see it", async () => {
		const watches = [stage.left, stage.right].map(({ deps, mesh }) => meshWatch(deps, mesh));
		const look = () => Promise.all(watches.map((watch) => watch.look()));
		const alerts = async () => {
			const rows = await stage.database.db.sql`select kind from alerts where kind in ('MESH_DOWN', 'MESH_RECOVERED') order by id`;
			return rows.map(({ kind: name }) => String(name));
		};
		await look();
		expect(await alerts()).toEqual([]);
		for (const round of [1, 2]) {
			await stage.gate.shut();
			for (let times = 0; times < 3; times++) await look();
			expect(await alerts()).toHaveLength(round * 2 - 1);
			await stage.gate.open();
			for (let times = 0; times < 2; times++) await look();
			expect(await alerts()).toHaveLength(round * 2);
		}
		expect(await alerts()).toEqual(["MESH_DOWN", "MESH_RECOVERED", "MESH_DOWN", "MESH_RECOVERED"]);
	});
});
