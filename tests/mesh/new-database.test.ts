/** Headscale with a new database (H6, S10): its ids begin anew, and what we wrote down of the old ones means nobody. With a real one where real clients are. */
import { describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deleteHost } from "../../src/hosts/onboarding.ts";
import { nodesOf } from "../../src/mesh/nodes.ts";
import { reapKeys } from "../../src/mesh/reaper.ts";
import type { RealMesh } from "../../src/mesh/port.ts";
import { backends } from "../support/mesh/backends.ts";
import { admin, rowCount } from "../support/pipeline.ts";
import { tailscaleMissing, TestTailscale } from "../support/tailscale.ts";
import { until } from "../support/until.ts";
import { inputFor, letIn, meshStage, meshTo, newHost, reapedTo, send } from "./stage.ts";

describe.each(backends)("$name with a new database", (kind) => {
	const stage = meshStage(kind);
	/** Has a machine join with a key, and returns what ends it. */
	const hasJoined = async (key: string, name: string): Promise<() => Promise<void>> => {
		if (stage.backend.join !== undefined) {
			stage.backend.join(key, name);
			return async () => {};
		}
		const dir = await mkdtemp(join(tmpdir(), "muster-ts-"));
		const client = await TestTailscale.start({ dir });
		await client.join(stage.backend.url, key, name);
		return async () => {
			await client[Symbol.asyncDispose]();
			await rm(dir, { recursive: true, force: true });
		};
	};
	const mint = async (mesh: RealMesh) => {
		const expiration = `${new Date(Date.now() + 600_000).toISOString().slice(0, 19)}.5Z`;
		return mesh.mint(expiration, async () => {});
	};

	test.skipIf(kind.name.startsWith("real") && tailscaleMissing !== undefined)(
		"H6: a host that is deleted takes no innocent machine off the mesh, whose key has its key's id now; nor is that taken for the host's",
		async () => {
			const host = await newHost(stage);
			letIn(await send(stage.left, inputFor(host)));
			const rows = await stage.database.db.sql`select remote_id, remote_created_at from mesh_keys where host_id = ${host.id}`;
			const oldId = String(rows[0]?.["remoteId"]);
			expect(rows[0]?.["remoteCreatedAt"]).toBeInstanceOf(Date);
			await stage.backend.renew();
			await using mesh = meshTo(stage);
			let key = await mint(mesh.mesh);
			while (key.remoteId !== oldId) key = await mint(mesh.mesh);
			const leave = await hasJoined(key.text.reveal(), "innocent");
			try {
				const [innocent] = await mesh.mesh.nodes();
				expect([innocent?.name, innocent?.key?.id]).toEqual(["innocent", oldId]);
				const { left } = stage;
				const its = await nodesOf({ db: left.deps.db, mesh: mesh.mesh }, admin.tenantId);
				expect(its.map(({ listed, hostId }) => [listed?.id, hostId])).toEqual([[innocent?.id, null]]);
				await deleteHost(left.deps, admin, host.id);
				await until("nothing is left to do", async () => {
					await reapKeys(left.deps, mesh.mesh);
					return (await rowCount(stage.database.db, "mesh_keys", "host_id is null")) === 0;
				});
				expect((await mesh.mesh.nodes()).map(({ id }) => id)).toEqual([innocent?.id ?? ""]);
			} finally {
				await leave();
			}
		},
		60_000,
	);
});

describe.each(backends.filter(({ name }) => name.startsWith("real")))("$name and its own nodes", (kind) => {
	const stage = meshStage(kind);

	test.skipIf(tailscaleMissing !== undefined)(
		"H6: the node of a deleted host goes: it is known by when its key was made, also after that was ended",
		async () => {
			const host = await newHost(stage);
			const { mesh } = letIn(await send(stage.left, inputFor(host)));
			const dir = await mkdtemp(join(tmpdir(), "muster-ts-"));
			try {
				await using client = await TestTailscale.start({ dir });
				await client.join(stage.backend.url, mesh?.authKey ?? "", host.name);
				expect(await stage.left.mesh.nodes()).toMatchObject([{ name: host.name }]);
				await deleteHost(stage.left.deps, admin, host.id);
				await reapedTo(stage, 0);
				expect(await stage.left.mesh.nodes()).toEqual([]);
			} finally {
				await rm(dir, { recursive: true, force: true });
			}
		},
		60_000,
	);
});
