import * as v from "valibot";
import { record } from "../audit/store.ts";
import type { OperatorPrincipal } from "../auth/principal.ts";
import type { Deps } from "../deps.ts";
import { notFound } from "../errors.ts";
import { parseInput } from "../input.ts";
import { patternField } from "./name-pattern.ts";
import type { TenantRecord } from "./site.ts";
import { setTenantNamePattern, tenantById } from "./store.ts";

/** The operator's own tenant. */
export async function tenantOf(deps: Pick<Deps, "db">, { tenantId }: OperatorPrincipal): Promise<TenantRecord> {
	const tenant = await tenantById(deps.db.sql, tenantId);
	if (tenant === undefined) throw notFound("tenant", tenantId);
	return tenant;
}

/** Sets what is given of the operator's own tenant. BAD_USER_INPUT for a pattern that cannot be used. */
export async function configureTenant(
	deps: Pick<Deps, "db" | "clock" | "mintId">,
	operator: OperatorPrincipal,
	raw: unknown,
): Promise<TenantRecord> {
	const { workerNamePattern } = parseInput(
		"configure the tenant",
		v.object({ workerNamePattern: v.optional(v.nullable(patternField)) }),
		raw,
	);
	const { tenantId, actor } = operator;
	if (workerNamePattern === undefined) return tenantOf(deps, operator);
	await deps.db.tx(async (tx) => {
		await setTenantNamePattern(tx, tenantId, workerNamePattern);
		await record(tx, [
			{
				id: deps.mintId("audit"),
				tenantId,
				at: deps.clock.now(),
				actor,
				action: "tenant.configured",
				subject: tenantId,
				detail: { workerNamePattern },
			},
		]);
	});
	return tenantOf(deps, operator);
}
