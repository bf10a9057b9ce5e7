/** A small OpenID Connect provider: one public client, authorization code with PKCE, tokens signed with a key of its own. */
import { createHash, randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { exportJWK, generateKeyPair, SignJWT } from "jose";

export interface Provider extends AsyncDisposable {
	readonly issuer: string;
	/** What came with each authorization request. */
	readonly asked: readonly URLSearchParams[];
	/** How often a code was traded for a token. */
	readonly traded: () => number;
	/** The next ID token has this nonce in place of the one that was asked for. */
	mistakeNonce(nonce: string): void;
}

/** Starts one whose account has this role; every sign-in succeeds at once. */
export async function startProvider(client: { readonly id: string; readonly audience: string; readonly role: string }): Promise<Provider> {
	const { privateKey, publicKey } = await generateKeyPair("ES256");
	const jwk = { ...(await exportJWK(publicKey)), kid: "the-key", alg: "ES256" };
	const codes = new Map<string, { readonly challenge: string; readonly redirectUri: string; readonly nonce: string | null }>();
	let mistaken: string | undefined;
	const asked: URLSearchParams[] = [];
	let traded = 0;
	let issuer = "";

	async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
		const url = new URL(request.url ?? "/", issuer);
		const reply = (status: number, body: unknown) => {
			response.writeHead(status, { "content-type": "application/json", "access-control-allow-origin": "*" });
			response.end(JSON.stringify(body));
		};
		switch (url.pathname) {
			case "/.well-known/openid-configuration":
				return reply(200, {
					issuer,
					authorization_endpoint: `${issuer}/authorize`,
					token_endpoint: `${issuer}/token`,
					jwks_uri: `${issuer}/jwks`,
				});
			case "/jwks":
				return reply(200, { keys: [jwk] });
			case "/authorize": {
				asked.push(url.searchParams);
				const code = randomBytes(12).toString("hex");
				const redirectUri = url.searchParams.get("redirect_uri") ?? "";
				codes.set(code, { challenge: url.searchParams.get("code_challenge") ?? "", redirectUri, nonce: url.searchParams.get("nonce") });
				const back = new URL(redirectUri);
				back.searchParams.set("code", code);
				back.searchParams.set("state", url.searchParams.get("state") ?? "");
				response.writeHead(302, { location: back.href });
				response.end();
				return;
			}
			case "/token": {
				const form = new URLSearchParams(await textOf(request));
				const code = codes.get(form.get("code") ?? "");
				codes.delete(form.get("code") ?? "");
				const proven = createHash("sha256")
					.update(form.get("code_verifier") ?? "")
					.digest("base64url");
				if (code?.challenge !== proven || code.redirectUri !== form.get("redirect_uri") || form.get("client_id") !== client.id) {
					return reply(400, { error: "invalid_grant" });
				}
				traded += 1;
				const sign = (audience: string, claims: Record<string, unknown>) =>
					new SignJWT(claims)
						.setProtectedHeader({ alg: "ES256", kid: "the-key" })
						.setIssuer(issuer)
						.setAudience(audience)
						.setSubject("alice@example.net")
						.setIssuedAt()
						.setExpirationTime("10 minutes")
						.sign(privateKey);
				const nonce = mistaken ?? code.nonce;
				mistaken = undefined;
				return reply(200, {
					access_token: await sign(client.audience, { muster_role: client.role }),
					id_token: await sign(client.id, nonce === null ? {} : { nonce }),
					token_type: "Bearer",
				});
			}
			default:
				return reply(404, { error: "not_found" });
		}
	}

	const server = createServer((request, response) => void answer(request, response));
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	const address = server.address();
	issuer = `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
	return {
		issuer,
		asked,
		traded: () => traded,
		mistakeNonce(nonce) {
			mistaken = nonce;
		},
		async [Symbol.asyncDispose]() {
			server.closeAllConnections();
			await new Promise((resolve) => server.close(resolve));
		},
	};
}

async function textOf(request: IncomingMessage): Promise<string> {
	let text = "";
	for await (const piece of request) text += String(piece);
	return text;
}
