/** Signing in with an OpenID Connect issuer: authorization code flow with PKCE (RFC 7636), a public client, nothing kept after the return. */
import { replaceAddress } from "../lib/route.ts";
import { nonceOf, readToken, type Session } from "./session.ts";

interface Settings {
	readonly issuer: string;
	readonly audience: string;
	readonly clientId: string;
}
interface Started {
	readonly state: string;
	readonly verifier: string;
	/** The issuer puts it into the ID token: one of another sign-in is none of ours. */
	readonly nonce: string;
	readonly hash: string;
}

const place = "muster.sign-in";
const scope = "openid profile";

/** What the server configured; undefined: there is no issuer to sign in with. */
export function oidcSettings(): Settings | undefined {
	const text = document.querySelector<HTMLMetaElement>('meta[name="muster-oidc"]')?.content;
	return text === undefined ? undefined : (JSON.parse(text) as Settings);
}

/** Leaves for the issuer; nobody is signed in by that. Rejects when it cannot be reached. */
export async function beginSignIn(settings: Settings): Promise<undefined> {
	if (!isSecureContext) throw new Error("Browsers sign in with an issuer over https only: open this page by its https address");
	const { authorization_endpoint: address } = await discover(settings.issuer);
	const started: Started = { state: random(), verifier: random(), nonce: random(), hash: location.hash };
	sessionStorage.setItem(place, JSON.stringify(started));
	const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(started.verifier));
	const url = new URL(address);
	const asked = {
		response_type: "code",
		client_id: settings.clientId,
		redirect_uri: redirectUri(),
		scope,
		state: started.state,
		nonce: started.nonce,
		code_challenge: base64url(new Uint8Array(digest)),
		code_challenge_method: "S256",
		...(settings.audience === settings.clientId ? {} : { audience: settings.audience }),
	};
	for (const [name, value] of Object.entries(asked)) url.searchParams.set(name, value);
	location.assign(url);
}

/**
 * Finishes when the page was opened by the issuer's answer: trades the code for a token and takes both out of the address. Undefined when there is no answer.
 * Rejects with a sentence for people.
 */
export async function finishSignIn(settings: Settings | undefined): Promise<Session | undefined> {
	const answer = new URLSearchParams(location.search);
	if (!answer.has("state") || (!answer.has("code") && !answer.has("error"))) return undefined;
	const kept = sessionStorage.getItem(place);
	sessionStorage.removeItem(place);
	const started = kept === null ? undefined : (JSON.parse(kept) as Started);
	replaceAddress(`${location.pathname}${started?.hash ?? ""}`);
	if (settings === undefined || started === undefined || answer.get("state") !== started.state) {
		throw new Error("This sign-in was not begun here. Begin it again.");
	}
	const code = answer.get("code");
	if (code === null) throw new Error(`The issuer refused the sign-in: ${answer.get("error_description") ?? answer.get("error")}`);
	return trade(settings, code, started);
}

async function trade(settings: Settings, code: string, { verifier, nonce }: Started): Promise<Session> {
	const { token_endpoint: address } = await discover(settings.issuer);
	const response = await fetch(address, {
		method: "POST",
		body: new URLSearchParams({
			grant_type: "authorization_code",
			code,
			redirect_uri: redirectUri(),
			client_id: settings.clientId,
			code_verifier: verifier,
		}),
	});
	const tokens = (await response.json().catch(() => ({}))) as Record<string, string | undefined>;
	if (!response.ok) throw new Error(`The issuer gave no token: ${tokens.error_description ?? tokens.error ?? response.status}`);
	// Access tokens carry no nonce; the code that gave them is bound to this sign-in by its verifier.
	if (tokens.id_token !== undefined && nonceOf(tokens.id_token) !== nonce) {
		throw new Error("The issuer's answer belongs to another sign-in. Begin it again.");
	}
	// Issuers differ in which of the two carries the API's audience and the role; the first that can be read is sent, the server decides.
	for (const token of [tokens.access_token, tokens.id_token]) {
		const found = token === undefined ? undefined : readToken(token);
		if (found !== undefined) return found;
	}
	throw new Error("The issuer's token names no role: give your account the claim muster_role (viewer, operator or admin)");
}

async function discover(issuer: string): Promise<{ readonly authorization_endpoint: string; readonly token_endpoint: string }> {
	const response = await fetch(`${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`).catch(() => undefined);
	if (response?.ok !== true) throw new Error(`The issuer ${issuer} does not answer: sign in with a token, or try again`);
	return (await response.json()) as { authorization_endpoint: string; token_endpoint: string };
}

/** This page without query and fragment. */
function redirectUri(): string {
	return `${location.origin}${location.pathname}`;
}

function random(): string {
	return base64url(crypto.getRandomValues(new Uint8Array(32)));
}

function base64url(bytes: Uint8Array): string {
	return btoa(String.fromCharCode(...bytes))
		.replaceAll("+", "-")
		.replaceAll("/", "_")
		.replaceAll("=", "");
}
