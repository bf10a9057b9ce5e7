/** Two servers on one database, before one Headscale with a gate, and the words for what the mesh's tests ask. */
import { afterAll, beforeAll } from "bun:test";
import type { EnrollResult } from "../../src/enrollment/result.ts";
import { createHost } from "../../src/hosts/onboarding.ts";
import { Secret } from "../../src/lib/secret.ts";
import { openHeadscale } from "../../src/mesh/headscale.ts";
import type { RealMesh } from "../../src/mesh/port.ts";
import { reapKeys } from "../../src/mesh/reaper.ts";
import { type TestDatabase, testDatabase } from "../support/db.ts";
import { type Backend, type BackendKind, usableKeys } from "../support/mesh/backends.ts";
import { type Gate, openGate } from "../support/mesh/gate.ts";
import { admin, enrollInput, hex, openPipeline, type Pipeline, rowCount, sharedSecret } from "../support/pipeline.ts";
import { until } from "../support/until.ts";

/** A server with its mesh. */
export interface MeshServer extends Pipeline {
	readonly mesh: RealMesh;
}

export interface WaitingHost {
	readonly id: string;
	readonly name: string;
	readonly token: string;
}

export interface MeshStage {
	readonly backend: Backend;
	readonly gate: Gate;
	readonly database: TestDatabase;
	readonly left: MeshServer;
	readonly right: MeshServer;
}

function openMesh(backend: Backend, gate: Gate, tools: Parameters<typeof openHeadscale>[1]): RealMesh {
	const { apiKey, user } = backend;
	const config = { url: gate.url, publicUrl: "http://mesh.test", apiKey: new Secret(apiKey), user, tags: ["tag:muster"] };
	// Failures are what is tested: the breaker, which has tests of its own, stays out of it.
	return openHeadscale(config, tools, { mintMs: 2_000, failures: 1_000_000 });
}

/** The mesh as a server sees it that starts now: with the API key that it has now. */
export function meshTo({ backend, gate, left }: MeshStage): AsyncDisposable & { readonly mesh: RealMesh } {
	const mesh = openMesh(backend, gate, left.deps);
	return { mesh, [Symbol.asyncDispose]: () => mesh.close() };
}

async function openServer(url: string, backend: Backend, gate: Gate): Promise<MeshServer> {
	const opened: { mesh?: RealMesh } = {};
	const pipeline = await openPipeline(url, (tools) => {
		opened.mesh = openMesh(backend, gate, tools);
		return opened.mesh;
	});
	if (opened.mesh === undefined) throw new Error("The mesh was not opened");
	return { ...pipeline, mesh: opened.mesh };
}

/** Opens the stage before the suite's tests, and closes it after them. */
export function meshStage({ start }: BackendKind): MeshStage {
	let stage: MeshStage | undefined;
	beforeAll(async () => {
		const [backend, database] = await Promise.all([start(), testDatabase()]);
		const gate = await openGate(backend.url);
		const [left, right] = await Promise.all([openServer(database.url, backend, gate), openServer(database.url, backend, gate)]);
		stage = { backend, gate, database, left, right };
	}, 60_000);
	afterAll(async () => {
		await Promise.all([stage?.left.close(), stage?.right.close()]);
		await stage?.gate.shut();
		await stage?.backend.stop();
		await stage?.database.drop();
	});
	const there = <Name extends keyof MeshStage>(name: Name): MeshStage[Name] => {
		if (stage === undefined) throw new Error("The stage is not open");
		return stage[name];
	};
	return {
		get backend() {
			return there("backend");
		},
		get gate() {
			return there("gate");
		},
		get database() {
			return there("database");
		},
		get left() {
			return there("left");
		},
		get right() {
			return there("right");
		},
	};
}

/** A host that waits for its worker. */
export async function newHost({ left }: MeshStage): Promise<WaitingHost> {
	const name = `host-${hex(6)}`;
	const { host, secret } = await createHost(left.deps, admin, { name });
	return { id: host.id, name, token: secret };
}

/** What a worker sends with a host's token. */
export function inputFor(
	{ name, token }: Pick<WaitingHost, "name" | "token">,
	more: { enrollmentId?: string; replyKey?: string; machineUid?: string } = {},
) {
	const { enrollmentId, worker } = enrollInput({ siteCode: "", key: "", name, hostname: name, ...more });
	const { replyKey } = more;
	return { enrollmentId, worker, credential: { hostToken: { token, sharedSecret } }, ...(replyKey === undefined ? {} : { replyKey }) };
}

/** Sends it. */
export function send(server: Pipeline, input: object): Promise<EnrollResult> {
	return server.enroller.enroll(input, "192.0.2.1");
}

/** The result, when it is one of a worker that was let in. */
export function letIn(result: EnrollResult): Extract<EnrollResult, { kind: "enrolled" }> {
	if (result.kind !== "enrolled") throw new Error(`It was not let in: ${JSON.stringify(result)}`);
	return result;
}

/** Whether a host's token can still be used. */
export async function tokenIsUnused({ database }: MeshStage, host: WaitingHost): Promise<boolean> {
	return (await rowCount(database.db, "keys", `host_id = '${host.id}' and consumed_at is null and uses = 0 and revoked_at is null`)) === 1;
}

/** Keeps house until this many keys would let a machine in, and nothing is left to do. */
export async function reapedTo({ left, backend, database }: MeshStage, usable: number, server = left): Promise<void> {
	await until(`${usable} usable key(s), and no key that nobody holds`, async () => {
		await reapKeys(server.deps, server.mesh);
		const open = await rowCount(database.db, "mesh_keys", "state in ('minting', 'minted', 'ending') or host_id is null");
		return open === 0 && (await usableKeys(backend)) === usable;
	});
}

/** Every key that nobody came for counts as old: what takes a minute otherwise. */
export async function ageKeys({ database }: MeshStage): Promise<void> {
	await database.db.sql`update mesh_keys set next_attempt_at = now() where state in ('minting', 'minted')`;
}
