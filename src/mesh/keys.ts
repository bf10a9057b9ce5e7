import type { Deps } from "../deps.ts";
import { isForeignKeyViolation, isUniqueViolation } from "../db/faults.ts";
import type { Secret } from "../lib/secret.ts";
import { endUnheld, forgetIntent, insertIntent, noteMinted } from "./key-store.ts";
import { MeshFault, type RealMesh } from "./port.ts";

/** What came of asking for a key. */
export type Minting =
	| { readonly kind: "minted"; readonly id: string; readonly text: Secret }
	/** Its host was deleted meanwhile: there is nothing to join for. */
	| { readonly kind: "host-gone" }
	/** One sentence for the worker: what, and what to do. */
	| { readonly kind: "failed"; readonly why: string };

/** Long enough for a worker to fetch its mesh client and join; a key that is lost all the same is dead after it. */
export const keyMs = 600_000;
/** Longer than a mint and a batch may take together: whoever has not given a key out by then is not going to. */
const orphanSeconds = 60;
/** Two keys asked for in one second have the same expiration once in a million. */
const sameExpirationMax = 5;

/**
 * Mints a key for one enrollment. It is written down before the mesh is asked: from then on it is either given out with the enrollment, or
 * expired by housekeeping, whoever dies meanwhile (H6). Never under a lock. Throws what the database throws.
 */
export async function mintKey(
	deps: Pick<Deps, "db" | "mintId" | "clock" | "random" | "log">,
	mesh: RealMesh,
	of: { readonly tenantId: string; readonly hostId: string; readonly enrollmentId: string },
): Promise<Minting> {
	const id = deps.mintId("meshKey");
	for (let tries = 1; ; tries++) {
		const expiration = markedExpiration(deps);
		try {
			const key = await mesh.mint(expiration, () => insertIntent(deps.db.sql, { id, ...of, expiration, orphanSeconds }));
			if (await noteMinted(deps.db.sql, id, key)) return { kind: "minted", id, text: key.text };
			return { kind: "failed", why: "The mesh gave out a key too late: it was taken back, try again" };
		} catch (error) {
			if (isForeignKeyViolation(error)) return { kind: "host-gone" };
			if (isUniqueViolation(error) && tries < sameExpirationMax) continue;
			if (!(error instanceof MeshFault)) throw error;
			deps.log.warn("mesh.mint_failed", { meshKeyId: id, error });
			// What was surely not made is forgotten; of anything else housekeeping finds out.
			if (error.kind === "refused" && error.status !== null && error.status < 500) await forgetIntent(deps.db.sql, id);
			else await endUnheld(deps.db.sql, id);
			return { kind: "failed", why: failures[error.kind] };
		}
	}
}

/** Takes back a key that its enrollment does not use; it is expired soon. Safe to repeat, and after the enrollment committed: then it stays. */
export async function giveBack(deps: Pick<Deps, "db" | "log">, id: string): Promise<void> {
	// A database that is away forgets nothing: the key is an orphan then, and ends all the same.
	await endUnheld(deps.db.sql, id).catch((error: unknown) => deps.log.warn("mesh.give_back_failed", { meshKeyId: id, error }));
}

/** For the worker: nothing of the mesh's own words, which are the operators'. */
const failures: Record<MeshFault["kind"], string> = {
	unavailable: "The mesh is down or has too much to do: the token is untouched, try again",
	refused: "The mesh refused to give out a key, the server's log tells why: the token is untouched, try again",
	"not-asked": "The mesh is down or has too much to do: the token is untouched, try again",
};

/** The time at which a key ends, with six random digits: the mark by which it is found in a list of all keys. */
function markedExpiration({ clock, random }: Pick<Deps, "clock" | "random">): string {
	const fraction = Buffer.from(random.bytes(4)).readUInt32BE() % 1_000_000;
	const second = new Date(clock.now() + keyMs).toISOString().slice(0, 19);
	return `${second}.${String(fraction).padStart(6, "0")}Z`;
}
