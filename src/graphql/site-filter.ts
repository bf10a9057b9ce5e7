import { siteByCode } from "../sites/store.ts";
import type { GraphQLContext } from "./context.ts";

/** No site has this id, so a list or stream of a site that does not exist is empty, like one of a site that may not be seen (S10). */
const nowhere = "none";

/** The id to filter by for a `siteCode` argument; undefined when it was not given. */
export async function siteIdOf(ctx: GraphQLContext, siteCode: string | null | undefined): Promise<string | undefined> {
	if (siteCode == null) return undefined;
	const site = await siteByCode(ctx.deps.db.sql, ctx.as("viewer").tenantId, siteCode);
	if (site === undefined) ctx.alone?.();
	return site?.id ?? nowhere;
}
