/** Every Headscale the mesh's tests run against: the real ones that the environment names, and the fake of the other versions. */
import { type FakeHeadscale, fakeVersions, startFakeHeadscale } from "../fakes/headscale.ts";
import { headscaleBinaries, TestHeadscale } from "../headscale.ts";

export interface Backend {
	readonly url: string;
	readonly apiKey: string;
	readonly user: string;
	/** Only of the fake: what a machine does with a key. */
	readonly join?: FakeHeadscale["join"];
	/** Gives it a new database: nothing in it, ids begin anew, and `apiKey` may be another. */
	renew(): Promise<void>;
	stop(): Promise<void>;
}

export interface BackendKind {
	readonly name: string;
	readonly start: () => Promise<Backend>;
}

export const backends: readonly BackendKind[] = [
	...headscaleBinaries.map(({ path, name }) => ({ name: `real ${name}`, start: () => startReal(path) })),
	...fakeVersions.map((version) => ({ name: `fake ${version}`, start: () => startFakeHeadscale(version) })),
];

async function startReal(binary: string): Promise<Backend> {
	const headscale = await TestHeadscale.startHere(binary);
	return {
		url: headscale.url,
		user: headscale.user,
		get apiKey() {
			return headscale.apiKey;
		},
		renew: () => headscale.renew(),
		stop: () => headscale[Symbol.asyncDispose](),
	};
}

export interface SeenKey {
	readonly id: string;
	/** It would let a machine in now. */
	readonly usable: boolean;
	readonly tags: readonly string[];
	/** How far its end is away, in milliseconds. */
	readonly endsInMs: number;
}

/** The keys as Headscale itself lists them, not by way of the code that is tested. */
export async function keysOf({ url, apiKey, user }: Backend): Promise<SeenKey[]> {
	const get = (path: string) => fetch(`${url}/api/v1/${path}`, { headers: { authorization: `Bearer ${apiKey}` } });
	const { users } = (await (await get("user")).json()) as { users: { id: string; name: string }[] };
	const id = users.find(({ name }) => name === user)?.id ?? "";
	for (const ref of [user, id]) {
		const reply = await get(`preauthkey?user=${ref}`);
		if (!reply.ok) {
			await reply.text();
			continue;
		}
		const { preAuthKeys } = (await reply.json()) as { preAuthKeys: { id: string; used: boolean; expiration: string; aclTags: string[] }[] };
		return preAuthKeys.map((key) => {
			const endsInMs = Date.parse(key.expiration) - Date.now();
			return { id: key.id, usable: !key.used && endsInMs > 0, tags: key.aclTags, endsInMs };
		});
	}
	throw new Error("The keys cannot be listed");
}

/** How many keys would let a machine in. */
export async function usableKeys(backend: Backend): Promise<number> {
	return (await keysOf(backend)).filter(({ usable }) => usable).length;
}
