/** What the end-to-end tests share: a real server with a site, the compiled worker on a machine of its own, and what the API says about both. */
import { rm } from "node:fs/promises";
import { dirname } from "node:path";
import * as v from "valibot";
import { type Api, ask, type Live, watch } from "../../scripts/demo/live.ts";
import { removeDataDir } from "../../src/db/embedded-files.ts";
import { asAdmin, type Muster, type MusterOptions, startMuster } from "../support/muster.ts";
import type { Machine } from "../worker/support.ts";

/** Deadline of one test and of one condition: for hangs only. */
export const testMs = 180_000;
const conditionMs = 60_000;

/** Waits for a condition; throws, naming it, when it does not come within a minute. */
export async function until<T>(what: string, condition: () => T | undefined | Promise<T | undefined>): Promise<T> {
	const end = performance.now() + conditionMs;
	for (;;) {
		const value = await condition();
		if (value !== undefined && value !== false) return value;
		if (performance.now() > end) throw new Error(`Waited ${conditionMs} ms in vain for ${what}`);
		await Bun.sleep(25);
	}
}

/** The value of `work`, or an error that names `what` when it does not come within a minute. */
export async function soon<T>(what: string, work: Promise<T>): Promise<T> {
	const { promise: late, reject } = Promise.withResolvers<never>();
	const timer = setTimeout(() => reject(new Error(`Waited ${conditionMs} ms in vain for ${what}`)), conditionMs);
	return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

/** A server with short times, stopped and removed when disposed of. */
export class Fleet implements AsyncDisposable {
	server: Muster;
	readonly #options: MusterOptions;

	private constructor(server: Muster, options: MusterOptions) {
		this.server = server;
		this.#options = options;
	}

	static async start(options: MusterOptions = {}): Promise<Fleet> {
		const env = { MUSTER_HEARTBEAT_SECONDS: "1", MUSTER_STALE_SECONDS: "4", MUSTER_LOG_LEVEL: "debug", ...options.env };
		return new Fleet(await startMuster({ ...options, env }), { ...options, env });
	}

	get api(): Api {
		return { url: this.server.url, token: this.server.adminToken };
	}

	/** Ends the server with SIGTERM and starts it on the same data and port. */
	async restartServer(): Promise<void> {
		this.server.kill("SIGTERM");
		await soon("the server's end", this.server.ended);
		const env = { ...this.#options.env, MUSTER_LISTEN: new URL(this.server.url).host };
		this.server = await startMuster({ ...this.#options, env, dataDir: this.server.dataDir });
	}

	/** Makes a site; returns its first key. */
	async site(code: string, enrollmentPolicy = "AUTO_APPROVE"): Promise<string> {
		await asAdmin(this.server, "mutation ($input: CreateSiteInput!) { createSite(input: $input) { site { id } } }", {
			input: { code, enrollmentPolicy },
		});
		return this.rotate(code);
	}

	async rotate(siteCode: string): Promise<string> {
		const query = "mutation ($siteCode: String!) { rotateSiteKey(siteCode: $siteCode) { secret } }";
		return (await ask(this.api, v.object({ rotateSiteKey: v.object({ secret: v.string() }) }), query, { siteCode })).rotateSiteKey.secret;
	}

	/** What a worker needs to enroll there. */
	settings(siteCode: string, key: string, name = "edge-1"): Readonly<Record<string, string>> {
		return { MUSTER_URL: this.server.url, MUSTER_SITE_CODE: siteCode, MUSTER_ENROLL_TOKEN: key, MUSTER_WORKER_NAME: name };
	}

	/** How many enroll attempts the server has seen at a site. */
	async attempts(siteCode: string): Promise<number> {
		const query = "query ($siteCode: String) { enrollmentAttempts(siteCode: $siteCode) { totalCount } }";
		return (await ask(this.api, attemptsShape, query, { siteCode })).enrollmentAttempts.totalCount;
	}

	/** The site's workers with their hosts. */
	async workers(siteCode: string): Promise<readonly WorkerView[]> {
		const query = `query ($siteCode: String) { workers(siteCode: $siteCode) { nodes { id name state online lastHeartbeatAt
			host { state lastHeartbeatAt lastKnownState } } } }`;
		return (await ask(this.api, workersShape, query, { siteCode })).workers.nodes;
	}

	heartbeats(siteCode: string): Live<v.InferOutput<typeof beatShape>> {
		return watch(this.api, beatShape, "subscription ($siteCode: String) { heartbeat(siteCode: $siteCode) { workerId name at } }", {
			siteCode,
		});
	}

	alerts(siteCode: string): Live<v.InferOutput<typeof alertShape>> {
		return watch(this.api, alertShape, "subscription ($siteCode: String) { alert(siteCode: $siteCode) { kind worker { id } } }", {
			siteCode,
		});
	}

	/** Revokes or approves. */
	async decide(mutation: "revokeWorker" | "approveWorker", id: string): Promise<void> {
		await asAdmin(this.server, `mutation ($id: ID!) { ${mutation}(id: $id) { worker { id } } }`, { id });
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.server.stop();
		// A server that was given its directory, as one that was restarted is, leaves it.
		await removeDataDir(this.server.dataDir);
		await rm(dirname(this.server.dataDir), { recursive: true, force: true });
	}
}

const attemptsShape = v.object({ enrollmentAttempts: v.object({ totalCount: v.number() }) });
const hostShape = v.object({ state: v.string(), lastHeartbeatAt: v.nullable(v.string()), lastKnownState: v.string() });
const workerShape = v.object({
	id: v.string(),
	name: v.string(),
	state: v.string(),
	online: v.boolean(),
	lastHeartbeatAt: v.nullable(v.string()),
	host: v.nullable(hostShape),
});
export type WorkerView = v.InferOutput<typeof workerShape>;
const workersShape = v.object({ workers: v.object({ nodes: v.array(workerShape) }) });
const beatShape = v.object({ heartbeat: v.object({ workerId: v.string(), name: v.string(), at: v.string() }) });
const alertShape = v.object({ alert: v.object({ kind: v.string(), worker: v.nullable(v.object({ id: v.string() })) }) });

/** The id in the worker's state directory. It is opaque there and a node id in the API: compared by name and count, not by text. */
export function keptId(machine: Machine): string {
	return machine.read(".MUSTER_WORKER_ID");
}
