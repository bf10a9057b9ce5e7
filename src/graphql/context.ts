import { requireOperator, requireWorker } from "../auth/authorize.ts";
import type { OperatorPrincipal, Principal, Role, WorkerPrincipal } from "../auth/principal.ts";
import type { CommandHub } from "../commands/hub.ts";
import type { Deps } from "../deps.ts";
import type { Enroller } from "../enrollment/enroll.ts";
import type { Prover } from "../enrollment/prove.ts";
import { MusterError } from "../errors.ts";
import type { ContainerStatsKeeper } from "../inventory/stats.ts";
import type { Heartbeats } from "../workers/heartbeats.ts";

/** What the HTTP reply is to carry besides the body; counts for an operation of one root field, and not on a socket. */
export interface HttpReply {
	status?: number | undefined;
	readonly headers: Record<string, string>;
}

/** What resolvers get: made anew for each HTTP request, and for each operation on a socket. */
export interface GraphQLContext {
	readonly deps: Deps;
	readonly enroller: Enroller;
	readonly prover: Prover;
	readonly heartbeats: Heartbeats;
	readonly commands: CommandHub;
	readonly containerStats: ContainerStatsKeeper;
	readonly principal: Principal;
	/** Who the request is from, proxies taken into account. */
	readonly sourceAddress: string;
	readonly http: HttpReply;
	/** Aborted when a subscription's reader has gone. */
	readonly signal: AbortSignal;
	/** Closes the transport of a subscriber that reads too slowly, with the documented code. */
	fellBehind(): void;
	/** The operator behind the request, with at least this role; throws UNAUTHENTICATED or FORBIDDEN. */
	as(needed: Role): OperatorPrincipal;
	/** The worker behind the request. */
	asWorker(): WorkerPrincipal;
}

/** Makes a context. A token that ran out while its socket was open counts no more. */
export function createContext(parts: Omit<GraphQLContext, "as" | "asWorker">): GraphQLContext {
	const current = (): Principal => {
		const { principal } = parts;
		if (principal.kind !== "operator" || parts.deps.clock.now() < principal.expiresAt) return principal;
		throw new MusterError("UNAUTHENTICATED", "The admin token has expired: make a new one (npm run token)");
	};
	return { ...parts, as: (needed) => requireOperator(current(), needed), asWorker: () => requireWorker(current()) };
}
