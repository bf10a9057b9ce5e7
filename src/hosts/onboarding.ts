import * as v from "valibot";
import { record } from "../audit/store.ts";
import type { OperatorPrincipal } from "../auth/principal.ts";
import { revokeCredentials } from "../auth/store.ts";
import type { Tx } from "../db/port.ts";
import type { Deps } from "../deps.ts";
import { MusterError, notFound } from "../errors.ts";
import { append } from "../events/outbox.ts";
import { parseInput } from "../input.ts";
import { type KeyRecord, unused } from "../keys/key.ts";
import { deleteHostTokens, endHostTokens, insertKey } from "../keys/store.ts";
import { fingerprint, mintToken, sha256 } from "../protocol/token.ts";
import { siteByCode } from "../sites/store.ts";
import { deleteWorkerRow, lockWorker } from "../workers/store.ts";
import { hostName } from "./host-name.ts";
import { type HostRecord, waitingHost } from "./host.ts";
import { installSnippet, type SnippetFormat, snippetFormats } from "./snippet.ts";
import { deleteHostRow, hostsByIds, lockHosts, lockNameOfHost, saveHosts } from "./store.ts";

type Tools = Pick<Deps, "db" | "clock" | "mintId" | "random" | "settings" | "mesh">;

/** A host with the token that lets its worker in, shown once. */
export interface OnboardedHost {
	readonly host: HostRecord;
	readonly secret: string;
	readonly snippet: string;
}

/** H3: a token lives so long. */
const tokenMs = 24 * 3_600_000;
const format = v.optional(v.nullable(v.picklist(snippetFormats)), null);
const newHost = v.object({
	name: hostName,
	siteCode: v.optional(v.nullable(v.string()), null),
	format,
});

/**
 * Makes a host that waits for its worker, with a one-shot token bound to its name, and the snippet that installs it (H1, H3). The token is
 * returned here and nowhere else. NOT_FOUND for a site that does not exist, CONFLICT when a host of this name waits already.
 */
export async function createHost(deps: Tools, operator: OperatorPrincipal, raw: unknown): Promise<OnboardedHost> {
	const input = parseInput("create the host", newHost, raw);
	const { tenantId, actor } = operator;
	return deps.db.tx(async (tx) => {
		const site = input.siteCode === null ? undefined : await siteByCode(tx, tenantId, input.siteCode);
		if (input.siteCode !== null && site === undefined) throw notFound("site", input.siteCode);
		const waiting = await lockNameOfHost(tx, tenantId, input.name);
		if (waiting !== undefined) {
			throw new MusterError(
				"CONFLICT",
				`Cannot create the host: "${input.name}" waits for its worker already, regenerate the token of ${waiting}`,
				{
					fields: ["name"],
				},
			);
		}
		const at = deps.clock.now();
		const host = waitingHost({
			id: deps.mintId("host"),
			tenantId,
			name: input.name,
			siteId: site?.id ?? null,
			workerId: null,
			createdAt: at,
		});
		await saveHosts(tx, [host], []);
		const made = await giveToken(deps, tx, host, input.format ?? "DOCKER", at);
		const detail = { name: host.name, siteCode: site?.code ?? null, tokenId: made.key.id };
		await record(tx, [{ id: deps.mintId("audit"), tenantId, at, actor, action: "host.created", subject: host.id, detail }]);
		await append(tx, [{ tenantId, event: { kind: "host", host } }]);
		return { host, secret: made.secret, snippet: made.snippet };
	});
}

/**
 * Gives a host a new token and ends the ones it has that were not used (H1). The worker it may have keeps its credential until the new one is used.
 * NOT_FOUND when there is no such host.
 */
export async function regenerateHostToken(deps: Tools, operator: OperatorPrincipal, raw: unknown): Promise<OnboardedHost> {
	const input = parseInput("regenerate the host's token", v.object({ id: v.string(), format }), raw);
	const { tenantId, actor } = operator;
	return deps.db.tx(async (tx) => {
		const at = deps.clock.now();
		// Keys before hosts: the order that the enrollment batch has too.
		await endHostTokens(tx, tenantId, input.id, at);
		const [host] = (await lockHosts(tx, [input.id])).filter((found) => found.tenantId === tenantId);
		if (host === undefined) throw notFound("host", input.id);
		const made = await giveToken(deps, tx, host, input.format ?? "DOCKER", at);
		const detail = { name: host.name, tokenId: made.key.id };
		await record(tx, [{ id: deps.mintId("audit"), tenantId, at, actor, action: "host.token_regenerated", subject: host.id, detail }]);
		return { host, secret: made.secret, snippet: made.snippet };
	});
}

/** Removes a host with its tokens and its worker, and cuts the worker off (H1). NOT_FOUND when there is none. */
export async function deleteHost(deps: Tools, operator: OperatorPrincipal, id: string): Promise<string> {
	const { tenantId, actor } = operator;
	await deps.db.tx(async (tx) => {
		const at = deps.clock.now();
		await deleteHostTokens(tx, tenantId, id);
		const [host] = await hostsByIds(tx, tenantId, [id]);
		if (host === undefined) throw notFound("host", id);
		const { workerId } = host;
		if (workerId !== null) await lockWorker(tx, tenantId, workerId);
		// What was read before the worker's lock may be old: a worker that became another host's meanwhile must not go with this one.
		const [now] = await hostsByIds(tx, tenantId, [id]);
		if (now?.workerId !== workerId)
			throw new MusterError("CONFLICT", `Cannot delete host "${id}": its worker changed at this moment, look at it and try again`);
		if (workerId !== null) {
			const credentialIds = await revokeCredentials(tx, tenantId, workerId, at);
			await deleteWorkerRow(tx, tenantId, workerId);
			await append(tx, [{ tenantId, event: { kind: "credentials-revoked", workerId, credentialIds } }]);
		}
		// With the worker went the host; without one, or when another took its place meanwhile, it goes now or not at all.
		if (!(await deleteHostRow(tx, tenantId, id)) && workerId === null)
			throw new MusterError("CONFLICT", `Cannot delete host "${id}": a worker enrolled as it at this moment, try again`);
		await record(tx, [
			{ id: deps.mintId("audit"), tenantId, at, actor, action: "host.deleted", subject: id, detail: { name: host.name, workerId } },
		]);
	});
	return id;
}

async function giveToken(
	{ random, mintId, settings, mesh }: Pick<Deps, "random" | "mintId" | "settings" | "mesh">,
	tx: Tx,
	host: HostRecord,
	snippetFormat: SnippetFormat,
	at: number,
): Promise<{ readonly key: KeyRecord; readonly secret: string; readonly snippet: string }> {
	const token = mintToken("host", random.bytes(38));
	const key: KeyRecord = {
		...unused,
		id: mintId("hostToken"),
		tenantId: host.tenantId,
		kind: "host",
		siteId: host.siteId,
		hostId: host.id,
		name: `token of host ${host.name}`,
		verifier: sha256(token.secret).toString("hex"),
		hint: fingerprint(token.secret),
		maxUses: 1,
		expiresAt: at + tokenMs,
		createdAt: at,
	};
	await insertKey(tx, { ...key, selector: token.selector });
	const snippet = installSnippet(snippetFormat, {
		url: settings.publicUrl(),
		serverAddress: settings.serverAddress,
		token: token.text,
		sharedSecret: settings.sharedSecret?.reveal() ?? null,
		nodeName: host.name,
		mesh: mesh.provider !== "none",
	});
	return { key, secret: token.text, snippet };
}
