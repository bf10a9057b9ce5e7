import { record } from "../audit/store.ts";
import type { OperatorPrincipal } from "../auth/principal.ts";
import type { Deps } from "../deps.ts";
import { notFound } from "../errors.ts";
import type { AlertRecord } from "./alert.ts";
import { acknowledge } from "./store.ts";

/** Marks an alert as seen by this operator. Safe to repeat: the first acknowledgement stays. NOT_FOUND when there is none. */
export async function acknowledgeAlert(
	deps: Pick<Deps, "db" | "clock" | "mintId">,
	operator: OperatorPrincipal,
	id: string,
): Promise<AlertRecord> {
	const at = deps.clock.now();
	return deps.db.tx(async (tx) => {
		const alert = await acknowledge(tx, operator.tenantId, id, at, operator.subject);
		if (alert === undefined) throw notFound("alert", id);
		await record(tx, [
			{
				id: deps.mintId("audit"),
				tenantId: operator.tenantId,
				at,
				actor: operator.actor,
				action: "alert.acknowledged",
				subject: id,
				detail: null,
			},
		]);
		return alert;
	});
}
