import * as v from "valibot";
import { record } from "../audit/store.ts";
import type { OperatorPrincipal } from "../auth/principal.ts";
import type { Deps } from "../deps.ts";
import { MusterError, notFound } from "../errors.ts";
import { parseInput } from "../input.ts";
import { plainText } from "../lib/plain-text.ts";
import { patternField } from "./name-pattern.ts";
import { enrollmentPolicies, type FleetRecord, type SiteRecord } from "./site.ts";
import { insertFleet, insertSite, siteByCode } from "./store.ts";

const code = v.pipe(
	v.string(),
	v.regex(
		/^[a-z0-9][a-z0-9-]{0,62}$/i,
		(issue) => `"${String(issue.input).slice(0, 80)}" must be 1 to 63 letters, digits and dashes, beginning with a letter or digit`,
	),
);
const title = v.pipe(
	v.string(),
	v.trim(),
	v.minLength(1, "must not be empty"),
	v.maxLength(200, "must have at most 200 characters"),
	v.regex(plainText, "must not hold control characters"),
);

const newSite = v.object({
	code,
	name: v.optional(v.nullable(title), null),
	enrollmentPolicy: v.optional(v.nullable(v.picklist(enrollmentPolicies)), null),
	workerNamePattern: v.optional(v.nullable(patternField), null),
});

type Tools = Pick<Deps, "db" | "clock" | "mintId">;

/** Makes a site. CONFLICT when the tenant has one of this code. */
export async function createSite(deps: Tools, operator: OperatorPrincipal, raw: unknown): Promise<SiteRecord> {
	const input = parseInput("create the site", newSite, raw);
	const site: SiteRecord = {
		id: deps.mintId("site"),
		tenantId: operator.tenantId,
		code: input.code,
		name: input.name ?? input.code,
		enrollmentPolicy: input.enrollmentPolicy ?? "AUTO_APPROVE",
		workerNamePattern: input.workerNamePattern,
		createdAt: deps.clock.now(),
	};
	await deps.db.tx(async (tx) => {
		if (!(await insertSite(tx, site)))
			throw new MusterError("CONFLICT", `Cannot create the site: code "${site.code}" is taken, choose another`, { fields: ["code"] });
		await record(tx, [line(deps, operator, "site.created", site.id, { code: site.code, enrollmentPolicy: site.enrollmentPolicy })]);
	});
	return site;
}

/** Makes a fleet inside a site. NOT_FOUND when there is no such site, CONFLICT when it has a fleet of this name. */
export async function createFleet(deps: Tools, operator: OperatorPrincipal, raw: unknown): Promise<FleetRecord> {
	const input = parseInput("create the fleet", v.object({ siteCode: v.string(), name: title }), raw);
	return deps.db.tx(async (tx) => {
		const site = await siteByCode(tx, operator.tenantId, input.siteCode);
		if (site === undefined) throw notFound("site", input.siteCode);
		const fleet: FleetRecord = {
			id: deps.mintId("fleet"),
			tenantId: operator.tenantId,
			siteId: site.id,
			name: input.name,
			createdAt: deps.clock.now(),
		};
		if (!(await insertFleet(tx, fleet))) {
			throw new MusterError("CONFLICT", `Cannot create the fleet: site "${site.code}" has a fleet "${fleet.name}", choose another name`, {
				fields: ["name"],
			});
		}
		await record(tx, [line(deps, operator, "fleet.created", fleet.id, { siteCode: site.code, name: fleet.name })]);
		return fleet;
	});
}

function line(deps: Tools, operator: OperatorPrincipal, action: string, subject: string, detail: Record<string, unknown>) {
	return { id: deps.mintId("audit"), tenantId: operator.tenantId, at: deps.clock.now(), actor: operator.actor, action, subject, detail };
}
