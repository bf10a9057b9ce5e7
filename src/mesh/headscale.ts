/** Headscale 0.23 to 0.30 as the mesh: the calls, behind a bounded number at once and a circuit breaker. */
import * as v from "valibot";
import type { Clock } from "../lib/clock.ts";
import type { Log } from "../lib/log.ts";
import { NoPermit, permits } from "../lib/permits.ts";
import { Secret } from "../lib/secret.ts";
import { singleFlight } from "../lib/single-flight.ts";
import type { Metrics, MeshCall } from "../metrics/port.ts";
import { admit, answered, type Breaker, closed, failed, withdrawn } from "./breaker.ts";
import { call, type CallOptions, ownWord } from "./client.ts";
import {
	type Dialect,
	type DialectUser,
	dialectOfSchema,
	dialectOfVersion,
	expireBody,
	listQuery,
	mintBody,
	needsUser,
	sameMoment,
} from "./dialect.ts";
import { MeshFault, type MeshState, type RealMesh } from "./port.ts";
import { keysReply, mintReply, nodesReply, usersReply } from "./replies.ts";
import { isSameKey } from "./same-key.ts";

/** What the configuration says of Headscale. */
export interface HeadscaleConfig {
	readonly url: string;
	/** Where workers are told to log in. */
	readonly publicUrl: string;
	readonly apiKey: Secret;
	/** Whose keys are minted; undefined: keys are tagged only, which needs 0.28. */
	readonly user: string | undefined;
	readonly tags: readonly string[];
}

/** How patient it is. */
export interface HeadscalePatience {
	/** A call, and the minting of a key (0.28 and later hash it with bcrypt), may take so long. */
	readonly callMs: number;
	readonly mintMs: number;
	/** Calls under way at once, calls that wait for a turn, and how long. */
	readonly running: number;
	readonly waiting: number;
	readonly waitMs: number;
	/** Failures in a row after which it is left alone, and for how long. */
	readonly failures: number;
	readonly openMs: number;
}

/** Eight at once keep a small Headscale busy; a thousand that wait are a site that is switched on, and each is told to come back after ten seconds. */
const defaults: HeadscalePatience = {
	callMs: 15_000,
	mintMs: 10_000,
	running: 8,
	waiting: 1_000,
	waitMs: 10_000,
	failures: 5,
	openMs: 5_000,
};

/** What is learned of a Headscale once, and again after each failure: it may have been updated meanwhile. */
interface Known {
	readonly dialect: Dialect;
	readonly user: DialectUser | undefined;
}

interface Tools {
	readonly clock: Clock;
	readonly log: Log;
	readonly metrics: Pick<Metrics, "meshCall" | "meshMint" | "meshBreaker">;
}

/** Opens it. Asks nothing yet, so a server starts whether Headscale is there or not. */
export function openHeadscale(config: HeadscaleConfig, tools: Tools, patience: Partial<HeadscalePatience> = {}): RealMesh {
	const limits = { ...defaults, ...patience };
	const closing = new AbortController();
	const endpoint = { url: config.url, apiKey: config.apiKey, signal: closing.signal };
	const turns = permits(limits);
	const once = singleFlight<Known>();
	let breaker: Breaker = closed;
	let known: Known | undefined;
	let state: MeshState = { ok: false, reason: "Headscale was not asked yet" };

	function move(next: Breaker): void {
		if (next.kind !== breaker.kind) {
			tools.metrics.meshBreaker(next.kind);
			tools.log.debug("mesh.breaker", { from: breaker.kind, to: next.kind });
		}
		breaker = next;
	}

	/** Runs what asks Headscale, when it is its turn and the breaker lets it. */
	async function guarded<T>(name: MeshCall, work: () => Promise<T>): Promise<T> {
		const turn = turns.run(async () => {
			const entry = admit(breaker, tools.clock.monotonic());
			move(entry.next);
			if (!entry.go)
				throw new MeshFault("not-asked", `Headscale failed so often that it is left alone for a moment: ${state.reason ?? ""}`);
			const began = tools.clock.monotonic();
			try {
				const result = await work();
				move(answered());
				tools.metrics.meshCall(name, "ok", (tools.clock.monotonic() - began) / 1_000);
				return result;
			} catch (error) {
				const kind = error instanceof MeshFault ? error.kind : "not-asked";
				if (kind === "unavailable") {
					known = undefined;
					state = { ok: false, reason: (error as MeshFault).message };
					move(failed(breaker, tools.clock.monotonic(), limits));
				} else {
					move(kind === "refused" ? answered() : withdrawn(breaker, tools.clock.monotonic()));
				}
				tools.metrics.meshCall(name, kind === "refused" ? "refused" : "failed", (tools.clock.monotonic() - began) / 1_000);
				throw error;
			}
		});
		return turn.catch((error: unknown) => {
			throw error instanceof NoPermit ? new MeshFault("not-asked", `Headscale has too much to do: ${error.message}`) : error;
		});
	}

	async function ask<const TSchema extends v.GenericSchema>(
		schema: TSchema,
		path: string,
		options: Partial<CallOptions> = {},
	): Promise<v.InferOutput<TSchema>> {
		const parsed = v.safeParse(schema, await call(endpoint, path, { deadlineMs: limits.callMs, ...options }));
		if (parsed.success) return parsed.output;
		throw new MeshFault("unavailable", `What answers at MUSTER_HEADSCALE_URL is no Headscale that we know: ${parsed.issues[0].message}`);
	}

	/** Asks for something that not every version has. */
	async function maybe(path: string): Promise<unknown> {
		try {
			return await call(endpoint, path, { deadlineMs: limits.callMs });
		} catch (error) {
			if (error instanceof MeshFault && error.kind === "refused") return undefined;
			// A page in place of JSON is a path that is not served.
			if (error instanceof MeshFault && error.status === 200) return undefined;
			throw error;
		}
	}

	async function findDialect(): Promise<Dialect> {
		const version = v.safeParse(v.object({ version: v.string() }), await maybe("/version"));
		const told = version.success ? dialectOfVersion(version.output.version) : undefined;
		const described = told ?? dialectOfSchema(await maybe("/swagger/v1/openapiv2.json"));
		if (described !== undefined) return described;
		// 0.30 has another description, and nothing before it has that.
		if (v.is(v.object({ openapi: v.string() }), await maybe("/api/v1/openapi.json"))) return "key-id";
		throw new MeshFault("refused", "What answers at MUSTER_HEADSCALE_URL does not tell its version: Headscale 0.23 to 0.30 is needed");
	}

	async function findUser(dialect: Dialect): Promise<DialectUser | undefined> {
		const { user: name } = config;
		const { users } = await ask(usersReply, name === undefined ? "/api/v1/user" : `/api/v1/user?name=${encodeURIComponent(name)}`);
		if (name === undefined) {
			if (!needsUser(dialect)) return undefined;
			throw new MeshFault("refused", "This Headscale is older than 0.28 and mints keys for users only: set MUSTER_HEADSCALE_USER");
		}
		const user = users.find((found) => found.name === name);
		if (user === undefined)
			throw new MeshFault("refused", `Headscale has no user "${name}": headscale users create ${name}, or set MUSTER_HEADSCALE_USER`);
		return user;
	}

	function learn(): Promise<Known> {
		if (known !== undefined) return Promise.resolve(known);
		return once("", async () => {
			const dialect = await findDialect();
			const found = { dialect, user: await findUser(dialect) };
			tools.log.info("mesh.learned", { dialect, user: found.user?.name ?? null });
			known = found;
			return found;
		});
	}

	/** Notes how it is from a call that tells: one that needs all of address, API key and user. */
	async function telling<T>(work: Promise<T>): Promise<T> {
		try {
			const result = await work;
			state = { ok: true, reason: undefined };
			return result;
		} catch (error) {
			if (error instanceof MeshFault && error.kind === "refused") {
				state = { ok: false, reason: error.message };
				known = undefined;
			}
			throw error;
		}
	}

	/** Headscale's own word that it is not there: a page of a proxy may have the same status. */
	const isGone = (error: unknown) =>
		error instanceof MeshFault && error.message.startsWith(ownWord) && (error.status === 404 || /not found/i.test(error.message));

	return {
		provider: "headscale",
		controlUrl: config.publicUrl,
		mint: (expiration, before) =>
			telling(
				guarded("mint", async () => {
					const { dialect, user } = await learn();
					await before();
					const body = mintBody(dialect, user, config.tags, expiration);
					const { preAuthKey } = await ask(mintReply, "/api/v1/preauthkey", { method: "POST", body, deadlineMs: limits.mintMs });
					return { remoteId: preAuthKey.id, createdAt: preAuthKey.createdAt, text: new Secret(preAuthKey.key) };
				}),
			).then(
				(key) => {
					tools.metrics.meshMint("minted");
					return key;
				},
				(error: unknown) => {
					tools.metrics.meshMint(error instanceof MeshFault ? error.kind : "not-asked");
					throw error;
				},
			),
		expire: (keys) =>
			guarded("expire", async () => {
				const { dialect, user } = await learn();
				const listed = (await ask(keysReply, `/api/v1/preauthkey${listQuery(dialect, user)}`)).preAuthKeys;
				const ended: boolean[] = [];
				for (const ours of keys) {
					const { remoteId, expiration } = ours;
					const key = listed.find((one) =>
						remoteId === null ? one.expiration !== null && sameMoment(one.expiration, expiration) : isSameKey(ours, one),
					);
					if (key !== undefined) {
						const body = expireBody(dialect, user, key);
						await ask(v.unknown(), "/api/v1/preauthkey/expire", { method: "POST", body }).catch((error: unknown) => {
							if (!isGone(error)) throw error;
						});
					}
					// One that has an id and is not listed was deleted, or its id is another's now; one whose id was never heard may still be on its way.
					ended.push(key !== undefined || remoteId !== null);
				}
				return ended;
			}),
		nodes: () => guarded("nodes", async () => (await ask(nodesReply, "/api/v1/node")).nodes),
		removeNode: (id) =>
			guarded("remove", async () => {
				const gone = ask(v.unknown(), `/api/v1/node/${encodeURIComponent(id)}`, { method: "DELETE" });
				await gone.catch((error: unknown) => {
					if (!isGone(error)) throw error;
				});
			}),
		async probe() {
			// Asked anew: the user may have been deleted, or the API key.
			const asked = telling(
				guarded("probe", async () => {
					const dialect = known?.dialect ?? (await findDialect());
					known = { dialect, user: await findUser(dialect) };
				}),
			);
			await asked.catch(() => {});
			return state;
		},
		state: () => state,
		async close() {
			closing.abort();
		},
	};
}
