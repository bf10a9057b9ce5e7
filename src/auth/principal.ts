/** Roles of people, weakest first: viewer sees, operator settles, admin changes (A15). */
export const roles = ["viewer", "operator", "admin"] as const;
export type Role = (typeof roles)[number];

/** A person or a program with an admin token. */
export interface OperatorPrincipal {
	readonly kind: "operator";
	readonly tenantId: string;
	readonly role: Role;
	/** The token's subject. */
	readonly subject: string;
	/** How the audit log names it: `operator:<subject>`. */
	readonly actor: string;
	/** When the token ends, milliseconds since the epoch. */
	readonly expiresAt: number;
}

/** An enrolled worker that showed its credential. */
export interface WorkerPrincipal {
	readonly kind: "worker";
	readonly tenantId: string;
	readonly workerId: string;
	readonly credentialId: string;
	readonly name: string;
	readonly hostId: string | null;
	readonly siteId: string | null;
}

/** Nobody in particular; `why` says what was wrong with what was shown, null when nothing was. */
export interface AnonymousPrincipal {
	readonly kind: "anonymous";
	readonly why: string | null;
}

export type Principal = OperatorPrincipal | WorkerPrincipal | AnonymousPrincipal;
export const anonymous: AnonymousPrincipal = { kind: "anonymous", why: null };
