import { createRemoteJWKSet, errors, type JWTPayload, jwtVerify, SignJWT } from "jose";
import * as v from "valibot";
import type { Clock } from "../lib/clock.ts";
import { madePlain } from "../lib/plain-text.ts";
import type { Secret } from "../lib/secret.ts";
import { type Role, roles } from "./principal.ts";

/** What an admin token says. */
export interface TokenClaims {
	readonly subject: string;
	readonly role: Role;
	/** The tenant's slug. */
	readonly tenant: string;
	/** Milliseconds since the epoch. */
	readonly expiresAt: number;
	/** Whether this server's own secret signed it. */
	readonly own: boolean;
}

const issuer = "muster";
const slug = v.pipe(v.string(), v.regex(/^[a-z0-9][a-z0-9-]{0,62}$/));
const claims = v.object({
	sub: v.pipe(v.string(), v.minLength(1), v.maxLength(200)),
	role: v.picklist(roles),
	tenant: v.optional(slug, "default"),
	exp: v.number(),
});

/** Whether a text can name a tenant: 1 to 63 lower-case letters, digits and dashes. */
export function isTenantSlug(text: string): boolean {
	return v.is(slug, text);
}

/** Makes an HS256 admin token (RFC 7519), valid for `hours`. */
export async function mintAdminToken(
	secret: Secret,
	clock: Clock,
	wanted: { readonly role: Role; readonly tenant: string; readonly subject: string; readonly hours: number },
): Promise<string> {
	const issuedAt = Math.floor(clock.now() / 1_000);
	return new SignJWT({ role: wanted.role, tenant: wanted.tenant })
		.setProtectedHeader({ alg: "HS256", typ: "JWT" })
		.setIssuer(issuer)
		.setAudience(issuer)
		.setSubject(wanted.subject)
		.setIssuedAt(issuedAt)
		.setExpirationTime(issuedAt + Math.ceil(wanted.hours * 3_600))
		.sign(keyOf(secret));
}

/** Checks admin tokens: our own HS256, or those of an OpenID Connect issuer (its JWKS, found by discovery). */
export interface TokenVerifier {
	/** The claims, or what is wrong in words that the token's owner may read. */
	verify(token: string): Promise<TokenClaims | { readonly problem: string }>;
}

/** Makes a verifier. The issuer's keys are fetched on first use and cached by jose; an unreachable issuer is a problem, not a fault. */
export function tokenVerifier(
	secret: Secret,
	clock: Clock,
	oidc: { readonly issuer: string; readonly audience: string } | undefined,
): TokenVerifier {
	const key = keyOf(secret);
	let jwks: Promise<ReturnType<typeof createRemoteJWKSet>> | undefined;

	async function outside(token: string, settings: { readonly issuer: string; readonly audience: string }): Promise<TokenClaims> {
		jwks ??= discover(settings.issuer).catch((error: unknown) => {
			jwks = undefined;
			throw error;
		});
		const { payload } = await jwtVerify(token, await jwks, {
			issuer: settings.issuer,
			audience: settings.audience,
			currentDate: new Date(clock.now()),
			algorithms: ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"],
		});
		return read(payload, false);
	}

	return {
		async verify(token) {
			try {
				if (oidc !== undefined && issuerOf(token) === oidc.issuer) return await outside(token, oidc);
				const { payload } = await jwtVerify(token, key, {
					issuer,
					audience: issuer,
					algorithms: ["HS256"],
					currentDate: new Date(clock.now()),
				});
				return read(payload, true);
			} catch (error) {
				return { problem: problemOf(error) };
			}
		},
	};
}

function read(payload: JWTPayload, own: boolean): TokenClaims {
	const { sub, role, tenant, exp } = v.parse(claims, {
		...payload,
		role: payload.muster_role ?? payload.role,
		tenant: payload.muster_tenant ?? payload.tenant,
	});
	return { subject: sub, role, tenant, expiresAt: exp * 1_000, own };
}

function issuerOf(token: string): string | undefined {
	const { iss } = unverified(token);
	return typeof iss === "string" ? iss : undefined;
}

/** Whose a token says it is, whoever wrote it: for telling of one that was refused, never for letting anybody in. */
export function claimedOwner(token: string): { readonly tenant: string; readonly subject: string } {
	const { sub, tenant, muster_tenant: outside } = unverified(token);
	const named = outside ?? tenant;
	return {
		tenant: typeof named === "string" && isTenantSlug(named) ? named : "default",
		subject: typeof sub === "string" && sub !== "" ? madePlain(sub, 100) : "unknown",
	};
}

/** Nothing when it is no token. */
function unverified(token: string): Readonly<Record<string, unknown>> {
	try {
		const body: unknown = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8"));
		return v.parse(v.record(v.string(), v.unknown()), body);
	} catch {
		return {};
	}
}

async function discover(issuerUrl: string): Promise<ReturnType<typeof createRemoteJWKSet>> {
	const url = `${issuerUrl.replace(/\/$/, "")}/.well-known/openid-configuration`;
	const response = await fetch(url, { signal: AbortSignal.timeout(5_000), redirect: "error" });
	const body = v.parse(v.object({ jwks_uri: v.pipe(v.string(), v.url()) }), await response.json());
	return createRemoteJWKSet(new URL(body.jwks_uri), { timeoutDuration: 5_000 });
}

function problemOf(error: unknown): string {
	if (error instanceof errors.JWTExpired) return "The admin token has expired: make a new one (npm run token)";
	if (error instanceof v.ValiError) return "The admin token has no usable sub, role or tenant claim: roles are viewer, operator and admin";
	return "The admin token is not valid on this server: make one with npm run token, or sign in with the configured issuer";
}

function keyOf(secret: Secret): Uint8Array {
	return new TextEncoder().encode(secret.reveal());
}
