import { apiKeyPlace, secretPlace } from "../auto-enrollment/auto-enrollment.ts";
import { replaceSealed, sealedAutoTexts } from "../auto-enrollment/store.ts";
import { paramsPlace } from "../commands/command.ts";
import { replaceSealedParams, sealedParams } from "../commands/store.ts";
import type { Tx } from "../db/port.ts";
import type { Deps } from "../deps.ts";
import { stackPlace } from "../stacks/stack.ts";
import { replaceSealedStack, sealedStacks } from "../stacks/store.ts";
import { replaceSealedSecret, sealedSecrets } from "../webhooks/store.ts";
import { secretPlace as webhookPlace } from "../webhooks/webhook.ts";
import { sealedUnder, type Vault } from "./vault.ts";

interface Sealed {
	readonly sealed: string;
	/** What it is and whose: it opens nowhere else. */
	readonly place: string;
	readonly put: (sealed: string) => Promise<void>;
}

/** Opens every sealed text once, so that a missing master key is found at start and not by a worker. Throws VaultError naming the key it needs. */
export async function checkSealed(deps: Pick<Deps, "db" | "vault">): Promise<void> {
	await deps.db.tx(async (tx) => {
		for (const { sealed, place } of await sealedTexts(tx, false)) deps.vault.open(sealed, place);
	});
}

/**
 * Seals anew what is sealed under another master key than the current one, in one transaction: all of it or nothing. Running servers need the
 * new key, beside the former one, before this is run. Returns how many texts were sealed anew.
 */
export async function reseal(deps: Pick<Deps, "db">, vault: Vault): Promise<number> {
	return deps.db.tx(async (tx) => {
		const old = (await sealedTexts(tx, true)).filter(({ sealed }) => sealedUnder(sealed) !== vault.keyId);
		for (const { sealed, place, put } of old) await put(vault.seal(vault.open(sealed, place), place));
		return old.length;
	});
}

async function sealedTexts(tx: Tx, lock: boolean): Promise<readonly Sealed[]> {
	const auto = (await sealedAutoTexts(tx, lock)).map(({ place, id, tenantId, sealed }) => ({
		sealed,
		place: place === "secret" ? secretPlace(tenantId) : apiKeyPlace(tenantId),
		put: (text: string) => replaceSealed(tx, place, id, text),
	}));
	const webhooks = (await sealedSecrets(tx, lock)).map(({ id, sealed }) => ({
		sealed,
		place: webhookPlace(id),
		put: (text: string) => replaceSealedSecret(tx, id, text),
	}));
	const commands = (await sealedParams(tx, lock)).map(({ id, sealed }) => ({
		sealed,
		place: paramsPlace(id),
		put: (text: string) => replaceSealedParams(tx, id, text),
	}));
	const stacks = (await sealedStacks(tx, lock)).map(({ id, sealed }) => ({
		sealed,
		place: stackPlace(id),
		put: (text: string) => replaceSealedStack(tx, id, text),
	}));
	return [...auto, ...webhooks, ...commands, ...stacks];
}
