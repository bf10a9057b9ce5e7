import { MusterError } from "../errors.ts";
import { type OperatorPrincipal, type Principal, type Role, roles, type WorkerPrincipal } from "./principal.ts";

/** Whether a role includes another: an admin may do what an operator may, and so on down. */
export function includesRole(role: Role, needed: Role): boolean {
	return roles.indexOf(role) >= roles.indexOf(needed);
}

/** The operator behind a request. UNAUTHENTICATED when nobody valid asks, FORBIDDEN when the role is too weak. */
export function requireOperator(principal: Principal, needed: Role): OperatorPrincipal {
	switch (principal.kind) {
		case "operator":
			if (includesRole(principal.role, needed)) return principal;
			throw new MusterError("FORBIDDEN", `This needs the role ${needed}; the token of "${principal.subject}" has ${principal.role}`);
		case "worker":
			throw new MusterError("FORBIDDEN", `This needs the role ${needed}; a worker's credential has none`);
		case "anonymous":
			throw new MusterError(
				"UNAUTHENTICATED",
				principal.why ?? `This needs the role ${needed}: send Authorization: Bearer <admin token> (npm run token)`,
			);
	}
}

/** The worker behind a request. */
export function requireWorker(principal: Principal): WorkerPrincipal {
	if (principal.kind === "worker") return principal;
	if (principal.kind === "operator") throw new MusterError("FORBIDDEN", "This is for workers: an admin token has no heartbeat");
	throw new MusterError(
		"UNAUTHENTICATED",
		principal.why ?? "This is for workers: send Authorization: Bearer <API key> and Muster-Worker-Id",
	);
}
