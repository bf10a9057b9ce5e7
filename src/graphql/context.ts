import { requireOperator, requireWorker } from "../auth/authorize.ts";
import type { OperatorPrincipal, Principal, Role, WorkerPrincipal } from "../auth/principal.ts";
import type { CommandHub } from "../commands/hub.ts";
import type { Deps } from "../deps.ts";
import type { Enroller } from "../enrollment/enroll.ts";
import type { Prover } from "../enrollment/prove.ts";
import { MusterError } from "../errors.ts";
import type { LeaveSignal } from "../lib/leaving.ts";
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
	/** The document is one of those that the server knows by heart: it was found cheap enough when it was written. */
	readonly isKnown?: true;
	/** Who the request is from, proxies taken into account. */
	readonly sourceAddress: string;
	readonly http: HttpReply;
	/** Aborted when a subscription's reader has gone. */
	readonly signal: LeaveSignal;
	/** Says that what was looked up may come to be: subscribers that come later must look for themselves. Only where subscriptions are shared. */
	readonly alone?: () => void;
	/** Closes the transport of a subscriber that reads too slowly, with the documented code. */
	fellBehind(): void;
	/** The operator behind the request, with at least this role; throws UNAUTHENTICATED or FORBIDDEN. */
	as(needed: Role): OperatorPrincipal;
	/** The worker behind the request. */
	asWorker(): WorkerPrincipal;
}

const tokenExpired = () => new MusterError("UNAUTHENTICATED", "The admin token has expired: make a new one (npm run token)");

/** What subscribers have to have in common to be served as one: tenant and role decide what may be seen. Undefined: this one is served alone. */
export function sharingOf(context: GraphQLContext) {
	const { principal, deps } = context;
	if (principal.kind !== "operator") return undefined;
	const endsInMs = principal.expiresAt - deps.clock.now();
	if (endsInMs <= 0) return undefined;
	return {
		key: `${principal.tenantId} ${principal.role}`,
		// Each subscriber's token ends its own part only.
		context: () => createContext({ ...context, principal: { ...principal, expiresAt: Number.MAX_SAFE_INTEGER } }),
		endsInMs,
		ended: tokenExpired,
		counted: (change: 1 | -1) => deps.metrics.subscribers(change),
	};
}

/** Makes a context. A token that ran out while its socket was open counts no more. */
export function createContext(parts: Omit<GraphQLContext, "as" | "asWorker">): GraphQLContext {
	const current = (): Principal => {
		const { principal } = parts;
		if (principal.kind !== "operator" || parts.deps.clock.now() < principal.expiresAt) return principal;
		throw tokenExpired();
	};
	return { ...parts, as: (needed) => requireOperator(current(), needed), asWorker: () => requireWorker(current()) };
}
