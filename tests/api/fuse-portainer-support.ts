/** A server that has a Portainer, which is a fake, and agents for it: what tests of fusing by Portainer share. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type TestDatabase, testDatabase } from "../support/db.ts";
import { type FakeAgent, fakeAgent, type FakePortainer, fakePortainer } from "../support/fakes/portainer.ts";
import { type Muster, startMuster } from "../support/muster.ts";
import { runtimeNames } from "../support/runtimes.ts";
import type { TestHost } from "./commands-support.ts";
import { fuse, fusionIs, hostIs, type Orders, unfuse } from "./fuse-support.ts";
import type { Bench } from "./support.ts";

export interface PortainerBench extends Bench {
	readonly portainer: FakePortainer;
	/** Puts the deadline of a host's fusion behind us. */
	expire(hostId: string): Promise<unknown>;
	/** Does what the worker does with `agent.deploy`, and runs the agent. */
	deploy(orders: Orders): Promise<{ readonly agent: FakeAgent; readonly params: AgentParams }>;
	/** Fuses a host all the way. */
	// biome-ignore lint/suspicious/noExplicitAny: a host as the API shows it
	fused(host: TestHost, orders: Orders): Promise<{ readonly params: AgentParams; readonly host: any }>;
	/** Ends the undoing that is under way. */
	undone(host: TestHost, orders: Orders): Promise<void>;
	/** Unfuses a host all the way. */
	unfused(host: TestHost, orders: Orders): Promise<void>;
}

interface AgentParams {
	readonly edgeKey: string;
	readonly edgeId: string;
	readonly image: string;
	readonly insecurePoll: boolean;
}

/** The suite on each runtime. At its end no environment may be left. */
export function onPortainer(title: string, suite: (bench: PortainerBench) => void): void {
	describe.each(runtimeNames)(`${title} on %s`, (runtime) => {
		let portainer: FakePortainer;
		let database: TestDatabase;
		let server: Muster;
		const agents: FakeAgent[] = [];
		beforeAll(async () => {
			portainer = await fakePortainer();
			database = await testDatabase();
			const env = { MUSTER_PORTAINER_URL: portainer.url, MUSTER_PORTAINER_API_KEY: portainer.apiKey, MUSTER_STALE_SECONDS: "86400" };
			server = await startMuster({ runtime, databaseUrl: database.url, env: { ...env, MUSTER_LOG_LEVEL: "debug" } });
		});
		afterAll(async () => {
			await Promise.all(agents.map((agent) => agent.stop()));
			await server?.stop();
			await database?.drop();
			await portainer?.close();
		});

		const bench: PortainerBench = {
			get server() {
				return server;
			},
			get database() {
				return database;
			},
			get portainer() {
				return portainer;
			},
			expire: async (hostId) => database.db.sql`update fusions set deadline_at = now() - interval '1 s' where host_id = ${hostId}`,
			async deploy(orders) {
				const order = await orders.next("agent.deploy");
				const params = order.params as AgentParams;
				const agent = fakeAgent(params);
				agents.push(agent);
				await orders.worker.report(order.commandId, "SUCCEEDED", { result: { containerId: "agent" } });
				return { agent, params };
			},
			async fused(host, orders) {
				await fuse(server, host.hostId, "PORTAINER");
				const { params } = await bench.deploy(orders);
				return { params, host: await hostIs(server, host.hostId, "FUSED") };
			},
			async undone(host, orders) {
				await orders.does("agent.remove");
				await fusionIs(server, host.hostId, "ENDED");
			},
			async unfused(host, orders) {
				await unfuse(server, host.hostId);
				await bench.undone(host, orders);
			},
		};
		suite(bench);

		test("no environment is left of all these", () => {
			expect([...portainer.environments.values()]).toEqual([]);
		});
	});
}
