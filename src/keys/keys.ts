import * as v from "valibot";
import { record } from "../audit/store.ts";
import type { OperatorPrincipal } from "../auth/principal.ts";
import type { Deps } from "../deps.ts";
import { notFound } from "../errors.ts";
import { parseInput } from "../input.ts";
import { fingerprint, mintToken } from "../protocol/token.ts";
import { siteByCode } from "../sites/store.ts";
import { type KeyRecord, siteKeyFingerprint, unused } from "./key.ts";
import { insertKey, retireSiteKey } from "./store.ts";

/** Thirty days: longer than that the old key is simply not rotated. */
const graceMax = 30 * 86_400;
const rotation = v.object({
	siteCode: v.string(),
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

/**
 * Gives a site a new key and takes the active one out of service, in one transaction (S2). The secret is returned here and nowhere else.
 * With `graceSeconds` the former key stays valid that long. Two rotations at once: both succeed, one after the other, and the later one's key is active.
 * NOT_FOUND when there is no such site.
 */
export async function rotateSiteKey(
	deps: Pick<Deps, "db" | "clock" | "mintId" | "random" | "hasher">,
	operator: OperatorPrincipal,
	raw: unknown,
): Promise<{ readonly secret: string; readonly key: KeyRecord }> {
	const { siteCode, graceSeconds } = parseInput("rotate the site key", rotation, raw);
	const site = await siteByCode(deps.db.sql, operator.tenantId, siteCode);
	if (site === undefined) throw notFound("site", siteCode);
	const token = mintToken("site", deps.random.bytes(38));
	// Before the transaction: Argon2 takes ten milliseconds and more when others wait, no lock should.
	const verifier = await deps.hasher.hash(token.secret);
	const key = await deps.db.tx(async (tx) => {
		const at = deps.clock.now();
		const former = await retireSiteKey(tx, site.id, graceSeconds ? at + graceSeconds * 1_000 : null);
		const next: KeyRecord = {
			...unused,
			id: deps.mintId("key"),
			tenantId: operator.tenantId,
			kind: "site",
			siteId: site.id,
			name: `site key of ${site.code}`,
			verifier,
			hint: fingerprint(token.secret),
			version: former + 1,
			createdAt: at,
		};
		await insertKey(tx, { ...next, selector: token.selector });
		await record(tx, [
			{
				id: deps.mintId("audit"),
				tenantId: operator.tenantId,
				at,
				actor: operator.actor,
				action: "site_key.rotated",
				subject: next.id,
				detail: { siteCode: site.code, fingerprint: siteKeyFingerprint(next), graceSeconds: graceSeconds ?? 0 },
			},
		]);
		return next;
	});
	return { secret: token.text, key };
}
