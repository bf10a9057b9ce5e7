/** What the tests of fusing share: what is shown of it, and a worker that does what fusing asks of it. */
import type { CommandFrame } from "../../src/protocol/commands.ts";
import { asAdmin } from "../support/muster.ts";
import { type ScriptedWorker, scriptedWorker } from "../support/scripted-worker.ts";
import { until } from "../support/until.ts";
import type { TestHost } from "./commands-support.ts";

type Server = { readonly url: string; readonly adminToken: string };

export const hostShown = `id state lastKnownState fuseProvider fusion { id provider step engineId environmentId startedAt deadlineAt fusedAt endedAt
	outcome failureSource failureMessage lastError requestedBy }`;

export async function fuse(server: Server, id: string, provider: string | null = null) {
	const query = `mutation ($id: ID!, $provider: FuseProvider) { fuseHost(id: $id, provider: $provider) { host { ${hostShown} } } }`;
	return (await asAdmin(server, query, { id, provider })).fuseHost.host;
}

export async function unfuse(server: Server, id: string) {
	return (await asAdmin(server, `mutation ($id: ID!) { unfuseHost(id: $id) { host { ${hostShown} } } }`, { id })).unfuseHost.host;
}

/** What a mutation is refused with; throws when it is not. */
export async function refusal(work: Promise<unknown>): Promise<string> {
	return work.then(
		(result) => Promise.reject(new Error(`It was not refused: ${JSON.stringify(result)}`)),
		(error: unknown) => String(error),
	);
}

export async function hostNow(server: Server, id: string) {
	return (await asAdmin(server, `query ($id: ID!) { host(id: $id) { ${hostShown} } }`, { id })).host;
}

export async function hostIs(server: Server, id: string, state: string) {
	return until(`host ${id} is ${state}`, async () => {
		const host = await hostNow(server, id);
		return host.state === state && host;
	});
}

/** Waits until the newest fusion of a host is at this step. */
export async function fusionIs(server: Server, id: string, step: string) {
	return until(`the fusion of ${id} is at ${step}`, async () => {
		const { fusion } = await hostNow(server, id);
		return fusion?.step === step && fusion;
	});
}

/** Waits for the next order of this kind that was not answered before. */
export class Orders {
	readonly #seen = new Set<string>();
	readonly worker: ScriptedWorker;
	constructor(worker: ScriptedWorker) {
		this.worker = worker;
	}
	/** The next order of a kind; each is given out once. */
	async next(kind: string): Promise<CommandFrame> {
		const frame = await until(`an order for ${kind}`, () =>
			this.worker.frames.find((one) => one.type === "ORDER" && one.kind === kind && !this.#seen.has(one.commandId)),
		);
		this.#seen.add(frame.commandId);
		return frame;
	}
	/** Ends the next order of a kind well, and returns it. */
	async does(kind: string, result: object = {}): Promise<CommandFrame> {
		const order = await this.next(kind);
		await this.worker.report(order.commandId, "SUCCEEDED", { result });
		return order;
	}
	async fails(kind: string, code: string, message: string): Promise<CommandFrame> {
		const order = await this.next(kind);
		await this.worker.report(order.commandId, "FAILED", { error: { code, message } });
		return order;
	}
	/** Kinds ordered so far. */
	kinds(): (string | null)[] {
		return this.worker.frames.flatMap(({ type, kind }) => (type === "ORDER" ? [kind] : []));
	}
}

/** A worker of this host that is online, for as long as `work` takes. */
export async function withWorker<T>(server: Server, host: TestHost, work: (orders: Orders) => Promise<T>): Promise<T> {
	const worker = await scriptedWorker(server, host);
	try {
		return await work(new Orders(worker));
	} finally {
		await worker.close();
	}
}

export const proof = (engineId: string) => ({ engineId, engineVersion: "27.0.0", apiVersion: "1.44" });

/** Fuses a host by Docker, all the way. */
export async function fuseByDocker(server: Server, { hostId }: TestHost, orders: Orders, engineId = "ENGINE-1") {
	await fuse(server, hostId);
	await orders.does("fuse.prove", proof(engineId));
	await orders.does("fuse.grant", { engineId });
	return hostIs(server, hostId, "FUSED");
}
