import type { Endpoint } from "./address.ts";
import type { MeshVitals } from "./facts.ts";
import type { Event } from "./machine-state.ts";

/** The mesh this host belongs to. */
export interface MeshPlan {
	/** Where the client logs in; undefined with the mode `host` when no enroll reply said so: then any mesh it is on will do. */
	readonly controlUrl: string | undefined;
	readonly nodeName: string;
}

/** What came of joining. */
export type MeshAnswer =
	| { readonly kind: "joined"; readonly addresses: readonly string[]; readonly nodeName: string | undefined }
	/** Not yet; trying again may help. */
	| { readonly kind: "failed"; readonly why: string }
	/** No login, and no key that brings one: only a new enrollment helps. */
	| { readonly kind: "lost"; readonly why: string };

/** What the metrics say of the mesh. */
export interface MeshFigures {
	readonly state: string;
	readonly joined: boolean;
	/** Of the client, by the worker. */
	readonly restarts: number;
	/** Attempts to join that came to nothing. */
	readonly failures: number;
	/** Times the login was lost. */
	readonly lost: number;
}

/** The mesh as the loop sees it. One at a time on a mesh directory. */
export interface Mesh {
	/** Throws `Fatal` 78 that says what to install when a program is missing. */
	checkTools(): unknown;
	/** Joins, or comes back to, the mesh; safe to repeat. Throws `Fatal` for what no waiting can mend. */
	join(plan: MeshPlan, signal: AbortSignal): Promise<MeshAnswer>;
	/**
	 * The endpoint as it is to be called: by the mesh when a member has its address or name, else straight. Or why it must not be called: a mesh address
	 * that is nobody's would be sought on the open network, with the credential.
	 */
	route(endpoint: Endpoint): Promise<Endpoint | { readonly why: string }>;
	/** The server was reached by the route last given. */
	reached(): void;
	/** As of the last look; undefined before the first. */
	vitals(): MeshVitals | undefined;
	figures(): MeshFigures | undefined;
	/** Is told once each time the login is lost after it was there. */
	onLost(tell: (why: string) => void): void;
	/** Ends what it started; resolves when that is gone. */
	close(): Promise<void>;
}

/** A host that is on none. */
export const noMesh: Mesh = {
	checkTools: () => undefined,
	join: () => Promise.reject(new Error("Cannot join a mesh: none is set up")),
	route: (endpoint) => Promise.resolve(endpoint),
	reached() {},
	vitals: () => undefined,
	figures: () => undefined,
	onLost() {},
	close: () => Promise.resolve(),
};

/** Joins, and says as the machine's event what came of it. */
export async function joinEvent(mesh: Mesh, plan: MeshPlan | undefined, signal: AbortSignal): Promise<Event> {
	if (plan === undefined) throw new Error("Cannot join a mesh: the enroll reply named none");
	const answer = await mesh.join(plan, signal);
	if (answer.kind === "joined") return { ...answer, kind: "meshJoined" };
	return { kind: answer.kind === "lost" ? "meshLost" : "meshFailed", why: answer.why };
}
