/** What the owner's host has: an engine with a container, its figures and events, and commands with output and input that wait. */
import type { Db } from "../../src/db/port.ts";
import { append } from "../../src/events/outbox.ts";
import { reportContainerStatsDocument, reportEngineDocument, reportHostEventsDocument } from "../../src/protocol/commands.ts";
import { type GraphQLReply, graphql, type Muster } from "../support/muster.ts";
import { rowCount } from "../support/pipeline.ts";
import { scriptedWorker } from "../support/scripted-worker.ts";
import { until } from "../support/until.ts";
import type { Bench } from "./support.ts";
import { type Asker, must, type Owner } from "./tenant-walk-owner.ts";

interface Maker {
	readonly host: { readonly workerId: string; readonly apiKey: string };
	readonly tag: string;
	readonly db: Db;
	readonly mark: (what: string) => string;
	// biome-ignore lint/suspicious/noExplicitAny: replies of many shapes
	readonly does: (query: string, variables?: object) => Promise<any>;
}

/** Fills the host and returns what it chose the names of. Its worker has left again. */
export async function stock(server: Muster, { host, mark, db, tag, does }: Maker) {
	const [containerName, image] = [mark("container"), mark("image")];
	const headers = { authorization: `Bearer ${host.apiKey}`, "muster-worker-id": host.workerId };
	const report = async (document: string, input: object): Promise<void> => {
		const { errors }: GraphQLReply = await graphql(server, document, { input }, headers);
		if (errors.length > 0) throw new Error(JSON.stringify(errors));
	};
	const container = { name: containerName, image, state: "running", status: tag, createdAt: "2026-11-21T05:00:00Z", ports: [], labels: [] };
	const engine = { id: mark("engine"), version: tag, apiVersion: "1.52" };
	await report(reportEngineDocument, { engine, reason: null, containers: [{ id: `${tag}-id`, ...container }] });
	const figures = { cpuCores: 1, memoryBytes: 1, memoryLimitBytes: null, networkReceivedBytes: 1, networkSentBytes: 1 };
	await report(reportContainerStatsDocument, { containers: [{ containerId: `${tag}-id`, ...figures }] });
	const event = { at: "2026-11-21T05:00:00Z", type: "container", action: "start", subject: tag, name: containerName, attributes: {} };
	await report(reportHostEventsDocument, { events: [event, event, event] });

	const { worker } = await does("query ($id: ID!) { worker(id: $id) { host { id } } }", { id: host.workerId });
	const hostId = String(worker.host.id);
	const ask = async (name: string, type: string, more: object): Promise<string> => {
		const query = `mutation ($input: ${type}!) { ${name}(input: $input) { command { id } } }`;
		return String((await does(query, { input: { hostId, container: containerName, ...more } }))[name].command.id);
	};
	const connected = await scriptedWorker(server, host);
	const ended = await ask("inspectContainer", "ContainerInput", {});
	await connected.told("ORDER", ended);
	await connected.report(ended, "SUCCEEDED", { result: { it: tag } });
	const shell = await ask("execContainer", "ExecContainerInput", { command: ["sh"], stdin: true, deadlineSeconds: 86_400 });
	const logs = await ask("containerLogs", "ContainerLogsInput", { deadlineSeconds: 86_400 });
	for (const id of [shell, logs]) await connected.told("ORDER", id);
	for (const id of [shell, logs]) await connected.output(id, 0, `output of ${tag}`);
	const openSockets = async () =>
		Number(/^muster_sockets\{kind="worker"\} (\d+)/m.exec(await (await fetch(server.metricsUrl)).text())?.[1]);
	const before = await openSockets();
	await connected.close();
	// Until the server knows, it hands input out.
	await until("the worker has left", async () => (await openSockets()) < before);
	const input = "mutation ($id: ID!, $data: String!) { sendCommandInput(commandId: $id, data: $data) { command { id } } }";
	await until("input waits", async () => {
		await does(input, { id: shell, data: Buffer.from(tag).toString("base64") });
		return (await rowCount(db, "command_input", `command_id = '${shell}'`)) > 0;
	});
	// A fusion that waits for its worker, and a server's turn at a command.
	await does("mutation ($id: ID!) { fuseHost(id: $id) { host { id } } }", { id: hostId });
	await db.sql`
		insert into command_runs (tenant_id, command_id, runs, lease_until) select tenant_id, id, 1, now() from commands where id = ${ended}`;
	return { containerName, image, hostId, commandIds: [ended, shell, logs] as readonly string[] };
}

/** Arguments of subscriptions that name what only the owner has. */
export const namesOthers: readonly string[] = [
	"hostChanged.hostIds",
	"hostEvent.hostIds",
	"commandChanged.hostId",
	"commandChanged.commandIds",
];

/** A command for a tenant's host, and an event of its engine. */
export async function work({ server }: Bench, tenant: Asker, worker: { readonly workerId: string; readonly apiKey: string }, name: string) {
	const found = await must(server, tenant, "query ($id: ID!) { worker(id: $id) { host { id } } }", { id: worker.workerId });
	const inspect = "mutation ($input: ContainerInput!) { inspectContainer(input: $input) { command { id } } }";
	await must(server, tenant, inspect, { input: { hostId: found.worker.host.id, container: name } });
	const headers = { authorization: `Bearer ${worker.apiKey}`, "muster-worker-id": worker.workerId };
	const event = { at: "2026-11-21T05:00:00Z", type: "container", action: "start", subject: name, name, attributes: {} };
	const { errors } = await graphql(server, reportHostEventsDocument, { input: { events: [event] } }, headers);
	if (errors.length > 0) throw new Error(JSON.stringify(errors));
}

/** Tells of a command that the owner had from the beginning. */
export async function tellAgain({ database }: Bench, { id: tenantId, commandIds: [commandId = ""], hostId }: Owner): Promise<void> {
	await database.db.tx((tx) => append(tx, [{ tenantId, event: { kind: "command", commandId, hostId, state: "SUCCEEDED" } }]));
}
