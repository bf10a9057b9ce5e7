import * as v from "valibot";
import { record } from "../audit/store.ts";
import type { OperatorPrincipal } from "../auth/principal.ts";
import type { Tx } from "../db/port.ts";
import type { Deps } from "../deps.ts";
import { MusterError } from "../errors.ts";
import { parseInput } from "../input.ts";
import { newApiKey } from "../keys/api-keys.ts";
import { insertApiKey, sharedKeyByHash, wasRevoked } from "../keys/api-key-store.ts";
import { unused } from "../keys/key.ts";
import { insertKey } from "../keys/store.ts";
import { fingerprint, parseToken, sameBytes } from "../protocol/token.ts";
import {
	activeSecret,
	type AutoEnrollmentRecord,
	autoEnrollmentOf,
	type ConfigSource,
	ensureAutoEnrollment,
	lockAutoEnrollment,
	lockSecrets,
	retireSecrets,
	saveAutoEnrollment,
} from "./store.ts";

type Tools = Pick<Deps, "db" | "clock" | "mintId" | "random" | "vault">;

/** What may be told of the configuration: never the secret nor the API key (A3). */
export interface AutoEnrollmentView {
	readonly enabled: boolean;
	/** `v2 (A1B2)`; null without a secret. */
	readonly secretFingerprint: string | null;
	/** The credential that holds the shared API key; null until the first enrollment mints one. */
	readonly credentialId: string | null;
	readonly configuredBy: ConfigSource | null;
	readonly enabledAt: number | null;
	readonly updatedAt: number | null;
}

const graceMax = 30 * 86_400;
const own = (what: string) =>
	v.pipe(
		v.string(),
		v.minLength(32, (issue) => `has ${issue.input.length} characters: ${what} needs 32 or more, for example from: openssl rand -hex 32`),
		v.maxLength(1_024, "must have at most 1024 characters"),
	);
const configuration = v.object({
	enabled: v.boolean(),
	enrollmentSecret: v.optional(v.nullable(own("the secret")), null),
	enrollmentApiKey: v.optional(
		v.nullable(
			v.pipe(
				own("the API key"),
				v.regex(/^[\x21-\x7e]+$/, "must hold visible ASCII characters only: it travels in a header"),
				v.check((text) => !text.startsWith("mst_") || parseToken(text)?.kind === "worker", "begins with mst_ but is no whole worker key"),
			),
		),
		null,
	),
	newApiKey: v.optional(v.nullable(v.boolean()), null),
	graceSeconds: v.optional(
		v.nullable(
			v.pipe(
				v.number(),
				v.integer("must be a whole number of seconds"),
				v.minValue(0, "must not be negative"),
				v.maxValue(graceMax, "must be at most 30 days (2592000)"),
			),
		),
		null,
	),
});

/** How auto-enrollment is set for the operator's tenant (A3). */
export async function autoEnrollment(deps: Pick<Deps, "db">, tenantId: string): Promise<AutoEnrollmentView> {
	const [found, secret] = await Promise.all([autoEnrollmentOf(deps.db.sql, tenantId), activeSecret(deps.db.sql, tenantId, false)]);
	return {
		enabled: found?.enabled ?? false,
		secretFingerprint: secret === undefined ? null : `v${secret.version} (${secret.hint})`,
		credentialId: found?.credentialId ?? null,
		configuredBy: secret === undefined ? null : (found?.configuredBy ?? null),
		enabledAt: found?.enabledAt ?? null,
		updatedAt: found?.updatedAt ?? null,
	};
}

/**
 * Turns auto-enrollment on or off, and sets its secret and shared API key (A1, A2, A4, A5). What is left out stays as it is. A former secret is
 * refused at once, or after `graceSeconds`; workers on a former API key keep working until it is revoked. CONFLICT when the environment
 * configures it. Two changes at once follow each other.
 */
export async function configureAutoEnrollment(deps: Tools, operator: OperatorPrincipal, raw: unknown): Promise<AutoEnrollmentView> {
	const input = parseInput("configure auto-enrollment", configuration, raw);
	const { tenantId, actor } = operator;
	await deps.db.tx(async (tx) => {
		const at = deps.clock.now();
		await ensureAutoEnrollment(tx, tenantId, at);
		const before = await lockAutoEnrollment(tx, tenantId);
		if (before === undefined) return;
		await lockSecrets(tx, tenantId, at);
		const secret = await activeSecret(tx, tenantId, true);
		if (before.configuredBy === "ENVIRONMENT" && (input.enrollmentSecret !== null || input.enabled !== before.enabled)) {
			throw new MusterError(
				"CONFLICT",
				"Cannot configure auto-enrollment: the server's environment sets it, change or unset MUSTER_AUTO_ENROLLMENT_KEY and restart",
			);
		}
		if (input.enabled && secret === undefined && input.enrollmentSecret === null) {
			throw new MusterError("BAD_USER_INPUT", "Cannot turn auto-enrollment on: it has no secret yet, give enrollmentSecret", {
				fields: ["enrollmentSecret"],
			});
		}
		const changes: string[] = [];
		if (input.enrollmentSecret !== null && (await setSecret(deps, tx, tenantId, input.enrollmentSecret, input.graceSeconds ?? 0, at)))
			changes.push("secret");
		const key =
			input.enrollmentApiKey !== null || input.newApiKey === true
				? await setApiKey(deps, tx, tenantId, input.enrollmentApiKey ?? undefined)
				: undefined;
		if (key !== undefined && key.credentialId !== before.credentialId) changes.push("apiKey");
		if (input.enabled !== before.enabled) changes.push(input.enabled ? "turned on" : "turned off");
		if (changes.length === 0) return;
		await saveAutoEnrollment(tx, { ...before, ...key, ...switched(before, input.enabled, at), updatedAt: at });
		await record(tx, [line(deps, tenantId, actor, at, { changes, graceSeconds: input.graceSeconds ?? 0 })]);
	});
	return autoEnrollment(deps, tenantId);
}

/**
 * Brings the default tenant's configuration in line with the environment at start (A18): on with that secret, or, when the variable is gone
 * and the environment had turned it on, off. Safe to repeat; several servers may start at once.
 */
export async function applyEnvironment(deps: Tools, tenantId: string, secret: string | undefined): Promise<void> {
	await deps.db.tx(async (tx) => {
		const at = deps.clock.now();
		if (secret !== undefined) await ensureAutoEnrollment(tx, tenantId, at);
		const before = await lockAutoEnrollment(tx, tenantId);
		if (before === undefined) return;
		if (secret === undefined && before.configuredBy !== "ENVIRONMENT") return;
		const changed = secret !== undefined && (await setSecret(deps, tx, tenantId, secret, 0, at));
		const enabled = secret !== undefined;
		if (!changed && before.enabled === enabled && (before.configuredBy === "ENVIRONMENT") === enabled) return;
		await saveAutoEnrollment(tx, {
			...before,
			...switched(before, enabled, at),
			configuredBy: enabled ? "ENVIRONMENT" : "API",
			updatedAt: at,
		});
		const changes = [enabled ? "turned on by MUSTER_AUTO_ENROLLMENT_KEY" : "turned off: MUSTER_AUTO_ENROLLMENT_KEY is gone"];
		await record(tx, [line(deps, tenantId, "server", at, { changes })]);
	});
}

/**
 * The tenant's shared API key, minted now when there is none (A2). Read ahead of the verdict; whether it is still good is asked again under lock.
 */
export async function sharedApiKey(deps: Tools, tenantId: string): Promise<{ readonly credentialId: string; readonly text: string }> {
	const open = (found: AutoEnrollmentRecord | undefined) =>
		found?.credentialId == null || found.apiKeySealed === null
			? undefined
			: { credentialId: found.credentialId, text: deps.vault.open(found.apiKeySealed, apiKeyPlace(tenantId)) };
	const known = open(await autoEnrollmentOf(deps.db.sql, tenantId));
	if (known !== undefined) return known;
	return deps.db.tx(async (tx) => {
		const before = await lockAutoEnrollment(tx, tenantId);
		if (before === undefined) throw new Error(`Tenant ${tenantId} has no auto-enrollment`);
		const made = open(before);
		if (made !== undefined) return made;
		const at = deps.clock.now();
		const { text, ...key } = await setApiKey(deps, tx, tenantId, undefined);
		await saveAutoEnrollment(tx, { ...before, ...key, updatedAt: at });
		await record(tx, [line(deps, tenantId, "server", at, { changes: ["apiKey"], minted: true })]);
		return { credentialId: key.credentialId, text };
	});
}

/** Where a tenant's secret stands sealed. */
export function secretPlace(tenantId: string): string {
	return `auto-enrollment secret of ${tenantId}`;
}

/** Where a tenant's shared API key stands sealed. */
export function apiKeyPlace(tenantId: string): string {
	return `auto-enrollment API key of ${tenantId}`;
}

/** Makes this text the active secret; false when it is already. */
async function setSecret(deps: Tools, tx: Tx, tenantId: string, text: string, graceSeconds: number, at: number): Promise<boolean> {
	const active = await activeSecret(tx, tenantId, true);
	if (active !== undefined && sameBytes(Buffer.from(deps.vault.open(active.sealed, secretPlace(tenantId))), Buffer.from(text)))
		return false;
	await retireSecrets(tx, tenantId, graceSeconds > 0 ? at + graceSeconds * 1_000 : null);
	await insertKey(tx, {
		...unused,
		id: deps.mintId("autoSecret"),
		tenantId,
		kind: "auto",
		siteId: null,
		name: "auto-enrollment secret",
		selector: null,
		verifier: deps.vault.seal(text, secretPlace(tenantId)),
		hint: fingerprint(text),
		version: (active?.version ?? 0) + 1,
		createdAt: at,
	});
	return true;
}

/** Makes a shared API key, or finds the one of this very text. */
async function setApiKey(
	deps: Tools,
	tx: Tx,
	tenantId: string,
	given: string | undefined,
): Promise<{ readonly credentialId: string; readonly apiKeySealed: string; readonly text: string }> {
	const { secret, key } = newApiKey(deps, tenantId, "shared by auto-enrolled workers", true, given);
	const sealed = deps.vault.seal(secret, apiKeyPlace(tenantId));
	const known = given === undefined ? undefined : await sharedKeyByHash(tx, tenantId, key.hash);
	// Of texts in our own form only a shared key of this tenant will do: whether another tenant has one of this selector must not show (S10).
	const foreign = known === undefined && given !== undefined && parseToken(given) !== undefined;
	const leaked = given !== undefined && (await wasRevoked(tx, tenantId, key.hash));
	if (leaked || foreign || (known === undefined && !(await insertApiKey(tx, key)))) {
		throw new MusterError(
			"CONFLICT",
			"Cannot use this API key for auto-enrollment: it was revoked, or is in use already; of keys that begin with mst_ it can be a shared one that was not revoked, give a text of your own or newApiKey",
			{ fields: ["enrollmentApiKey"] },
		);
	}
	return { credentialId: known?.id ?? key.id, apiKeySealed: sealed, text: secret };
}

function switched(before: AutoEnrollmentRecord, enabled: boolean, at: number): Pick<AutoEnrollmentRecord, "enabled" | "enabledAt"> {
	return { enabled, enabledAt: enabled ? (before.enabled ? before.enabledAt : at) : null };
}

function line(deps: Tools, tenantId: string, actor: string, at: number, detail: Record<string, unknown>) {
	return { id: deps.mintId("audit"), tenantId, at, actor, action: "auto_enrollment.configured", subject: tenantId, detail };
}
