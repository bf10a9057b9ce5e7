import * as v from "valibot";
import { record } from "../audit/store.ts";
import type { OperatorPrincipal } from "../auth/principal.ts";
import type { Deps } from "../deps.ts";
import { MusterError, notFound } from "../errors.ts";
import { hostName } from "../hosts/host-name.ts";
import { keySnippet, snippetFormats } from "../hosts/snippet.ts";
import { parseInput } from "../input.ts";
import { parseCidr } from "../lib/address.ts";
import { labelsToJson } from "../lib/label.ts";
import { fingerprint, mintToken, sha256 } from "../protocol/token.ts";
import { fleetsById, siteByCode } from "../sites/store.ts";
import { keyName } from "./key-name.ts";
import { type KeyRecord, unused } from "./key.ts";
import { labelsInput } from "./labels-input.ts";
import { endKey, insertKey, lockKey } from "./store.ts";

type Tools = Pick<Deps, "db" | "clock" | "mintId" | "random">;

/** A key with its secret, shown once; and, when a worker's name was given, the line that installs that worker with it. */
export interface MadeEnrollmentKey {
	readonly secret: string;
	readonly key: KeyRecord;
	readonly snippet: string | null;
}

/** A year: a key that lives longer is a site key. */
const hoursMax = 8_760;
const usesMax = 1_000_000;
const cidr = v.pipe(
	v.string(),
	v.trim(),
	v.check(
		(text) => parseCidr(text) !== undefined,
		({ input }) => `"${String(input).slice(0, 60)}" is no address or CIDR, give for example 10.0.0.0/8 or 2001:db8::/32`,
	),
);
const newKey = v.object({
	name: keyName,
	siteCode: v.string(),
	fleetId: v.optional(v.nullable(v.string()), null),
	maxUses: v.optional(
		v.nullable(
			v.pipe(
				v.number(),
				v.integer("must be a whole number"),
				v.minValue(1, ({ input }) => `is ${input}: give 1 or more`),
				v.maxValue(usesMax, `must be at most ${usesMax}`),
			),
		),
		null,
	),
	expiresInHours: v.optional(
		v.nullable(
			v.pipe(
				v.number(),
				v.gtValue(0, ({ input }) => `is ${input}: give more than 0`),
				v.maxValue(hoursMax, `must be at most ${hoursMax} (a year)`),
			),
		),
		null,
	),
	allowedCidrs: v.optional(v.nullable(v.pipe(v.array(cidr), v.maxLength(100, "must hold at most 100 ranges"))), null),
	labels: labelsInput,
	workerName: v.optional(v.nullable(hostName), null),
	format: v.optional(v.nullable(v.picklist(snippetFormats)), null),
});

/**
 * Makes an enrollment key for a site, and a fleet of it when given (B1). The secret is returned here and nowhere else (B2).
 * NOT_FOUND when the site, or a fleet of this id in this site, does not exist.
 */
export async function createEnrollmentKey(
	deps: Tools & Pick<Deps, "settings">,
	operator: OperatorPrincipal,
	raw: unknown,
): Promise<MadeEnrollmentKey> {
	const input = parseInput("create the enrollment key", newKey, raw);
	const { tenantId, actor } = operator;
	const token = mintToken("enroll", deps.random.bytes(38));
	const at = deps.clock.now();
	const key = await deps.db.tx(async (tx) => {
		const site = await siteByCode(tx, tenantId, input.siteCode);
		if (site === undefined) throw notFound("site", input.siteCode);
		if (input.fleetId !== null) {
			const [fleet] = await fleetsById(tx, tenantId, [input.fleetId]);
			if (fleet === undefined) throw notFound("fleet", input.fleetId);
			if (fleet.siteId !== site.id) {
				throw new MusterError("BAD_USER_INPUT", `Cannot create the enrollment key: fleet "${fleet.id}" is not of site "${site.code}"`, {
					fields: ["fleetId"],
				});
			}
		}
		const made: KeyRecord = {
			...unused,
			id: deps.mintId("enrollmentKey"),
			tenantId,
			kind: "enroll",
			siteId: site.id,
			fleetId: input.fleetId,
			name: input.name,
			verifier: sha256(token.secret).toString("hex"),
			hint: fingerprint(token.secret),
			maxUses: input.maxUses ?? 100,
			expiresAt: at + Math.round((input.expiresInHours ?? 24) * 3_600_000),
			allowedCidrs: input.allowedCidrs ?? [],
			labels: labelsToJson(input.labels ?? []),
			createdAt: at,
		};
		await insertKey(tx, { ...made, selector: token.selector });
		const detail = {
			name: made.name,
			siteCode: site.code,
			hint: made.hint,
			maxUses: made.maxUses,
			expiresAt: new Date(made.expiresAt ?? 0).toISOString(),
		};
		await record(tx, [{ id: deps.mintId("audit"), tenantId, at, actor, action: "enrollment_key.created", subject: made.id, detail }]);
		return made;
	});
	const { workerName: name, format } = input;
	const snippet = name === null ? null : keySnippet(format ?? "DOCKER", { url: deps.settings.publicUrl(), key: token.text, name });
	return { secret: token.text, key, snippet };
}

/** Revokes an enrollment key: later claims are refused, enrolled workers stay (B5). Safe to repeat. NOT_FOUND when there is none. */
export async function revokeEnrollmentKey(deps: Tools, operator: OperatorPrincipal, id: string): Promise<KeyRecord> {
	const { tenantId, actor } = operator;
	const at = deps.clock.now();
	return deps.db.tx(async (tx) => {
		const key = await lockKey(tx, tenantId, "enroll", id);
		if (key === undefined) throw notFound("enrollment key", id);
		if (!(await endKey(tx, id, at))) return key;
		const detail = { name: key.name, uses: key.uses };
		await record(tx, [{ id: deps.mintId("audit"), tenantId, at, actor, action: "enrollment_key.revoked", subject: id, detail }]);
		return { ...key, revokedAt: at };
	});
}
