/** Who is signed in: an admin token, kept in sessionStorage and nowhere else. */
import { signal } from "@preact/signals";

export const roles = ["viewer", "operator", "admin"] as const;
export type Role = (typeof roles)[number];

/** What a token says of its owner. The server decides by itself; this only spares people what it would refuse. */
export interface Session {
	readonly token: string;
	readonly subject: string;
	readonly tenant: string;
	readonly role: Role;
	/** Milliseconds since the epoch. */
	readonly expiresAt: number;
}

const place = "muster.token";

export const session = signal<Session | undefined>(kept());
/** Why somebody has to sign in again; shown at the sign-in. */
export const signedOutBecause = signal<string | undefined>(undefined);

/** Whether the one who is signed in may do what needs this role. */
export function may(needed: Role): boolean {
	const current = session.value;
	return current !== undefined && roles.indexOf(current.role) >= roles.indexOf(needed);
}

/** Takes a token that the server has accepted. */
export function signIn(next: Session): void {
	sessionStorage.setItem(place, next.token);
	signedOutBecause.value = undefined;
	session.value = next;
}

/** Forgets the token. The address stays, so that who signs in again is where they were. */
export function signOut(because?: string): void {
	sessionStorage.removeItem(place);
	signedOutBecause.value = because;
	session.value = undefined;
}

/** Reads a token's claims without checking its signature; undefined when it is no token of this server's form. */
export function readToken(token: string): Session | undefined {
	try {
		const { sub, exp, role, muster_role, tenant, muster_tenant } = claimsOf(token);
		const known = roles.find((one) => one === (muster_role ?? role));
		if (typeof sub !== "string" || typeof exp !== "number" || known === undefined) return undefined;
		const slug = muster_tenant ?? tenant;
		return { token, subject: sub, role: known, tenant: typeof slug === "string" ? slug : "default", expiresAt: exp * 1_000 };
	} catch {
		return undefined;
	}
}

/** The nonce in a token; undefined when there is none. */
export function nonceOf(token: string): unknown {
	try {
		return claimsOf(token)["nonce"];
	} catch {
		return undefined;
	}
}

function claimsOf(token: string): Record<string, unknown> {
	const claims: unknown = JSON.parse(new TextDecoder().decode(bytesOf(token.split(".")[1] ?? "")));
	return typeof claims === "object" && claims !== null ? (claims as Record<string, unknown>) : {};
}

function bytesOf(base64url: string): Uint8Array {
	return Uint8Array.from(atob(base64url.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
}

function kept(): Session | undefined {
	const token = sessionStorage.getItem(place);
	const found = token === null ? undefined : readToken(token);
	return found !== undefined && found.expiresAt > Date.now() ? found : undefined;
}
