import * as v from "valibot";
import { record } from "../audit/store.ts";
import type { OperatorPrincipal } from "../auth/principal.ts";
import { forgetSharedKey } from "../auto-enrollment/store.ts";
import type { Deps } from "../deps.ts";
import { notFound } from "../errors.ts";
import { append } from "../events/outbox.ts";
import { parseInput } from "../input.ts";
import { fingerprint, mintToken, parseToken, sha256 } from "../protocol/token.ts";
import type { ApiKeyRecord, NewApiKey } from "./api-key.ts";
import { apiKeysByIds, endApiKey, insertApiKey } from "./api-key-store.ts";
import { keyName } from "./key-name.ts";

type Tools = Pick<Deps, "db" | "clock" | "mintId" | "random">;

/** Makes an API key that workers made by an admin can be given (A12). The secret is returned here and nowhere else. */
export async function createApiKey(
	deps: Tools,
	operator: OperatorPrincipal,
	raw: unknown,
): Promise<{ readonly secret: string; readonly apiKey: ApiKeyRecord }> {
	const { name } = parseInput("create the API key", v.object({ name: keyName }), raw);
	const { secret, key } = newApiKey(deps, operator.tenantId, name, false);
	await deps.db.tx(async (tx) => {
		await insertApiKey(tx, key);
		await record(tx, [line(deps, operator, "api_key.created", key.id, { name, hint: key.hint })]);
	});
	return { secret, apiKey: key };
}

/**
 * Ends an API key: every worker that runs on it is cut off at once, on every server. Revoking the current shared key of auto-enrollment
 * makes the next enrollment mint a new one. Safe to repeat. NOT_FOUND when there is none.
 */
export async function revokeApiKey(deps: Tools, operator: OperatorPrincipal, id: string): Promise<ApiKeyRecord> {
	const { tenantId } = operator;
	const at = deps.clock.now();
	return deps.db.tx(async (tx) => {
		if (await endApiKey(tx, tenantId, id, at)) {
			await forgetSharedKey(tx, tenantId, id, at);
			await record(tx, [line(deps, operator, "api_key.revoked", id, null)]);
			await append(tx, [{ tenantId, event: { kind: "credentials-revoked", workerId: null, credentialIds: [id] } }]);
		}
		const [key] = await apiKeysByIds(tx, tenantId, [id]);
		if (key === undefined) throw notFound("API key", id);
		return key;
	});
}

/** A new API key, not stored yet. @param given the admin's own text; minted when left out */
export function newApiKey(
	deps: Pick<Deps, "clock" | "mintId" | "random">,
	tenantId: string,
	name: string,
	shared: boolean,
	given?: string,
): { readonly secret: string; readonly key: NewApiKey } {
	const minted = mintToken("worker", deps.random.bytes(38));
	const text = given ?? minted.text;
	// A text of ours is known by its selector, whoever brings it; of any other the whole is the secret.
	const token = parseToken(text);
	const secretPart = token?.secret ?? text;
	return {
		secret: text,
		key: {
			id: deps.mintId("credential"),
			tenantId,
			name,
			hint: fingerprint(secretPart),
			shared,
			createdAt: deps.clock.now(),
			revokedAt: null,
			lastUsedAt: null,
			selector: token?.selector ?? minted.selector,
			hash: sha256(secretPart).toString("hex"),
		},
	};
}

function line(
	deps: Pick<Deps, "clock" | "mintId">,
	operator: OperatorPrincipal,
	action: string,
	subject: string,
	detail: Record<string, unknown> | null,
) {
	return { id: deps.mintId("audit"), tenantId: operator.tenantId, at: deps.clock.now(), actor: operator.actor, action, subject, detail };
}
