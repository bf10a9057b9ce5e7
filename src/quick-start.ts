import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { OperatorPrincipal } from "./auth/principal.ts";
import { tenantBySlug } from "./auth/store.ts";
import type { Deps } from "./deps.ts";
import { rotateSiteKey } from "./keys/keys.ts";
import { keysBySelectors, keysByIds } from "./keys/store.ts";
import { parseToken } from "./protocol/token.ts";
import { writePrivate } from "./secrets.ts";
import { createSite } from "./sites/sites.ts";
import { countSites } from "./sites/store.ts";

/** The site that a first start makes, so that a machine can be enrolled at once. */
export const firstSite = "home";

/**
 * On the very first start makes a site with a key, and keeps the key in a file of the data directory. Returns that file as long as the key
 * in it is the site's active one; undefined later, when sites are managed through the API.
 */
export async function quickStart(deps: Deps, dataDir: string): Promise<string | undefined> {
	const { sql } = deps.db;
	const file = join(dataDir, "first-site-key");
	const tenantId = await tenantBySlug(sql, "default");
	if (tenantId === undefined) return undefined;
	if ((await countSites(sql, tenantId)) === 0) {
		const server: OperatorPrincipal = {
			kind: "operator",
			tenantId,
			role: "admin",
			subject: "server",
			actor: "server",
			expiresAt: Number.POSITIVE_INFINITY,
		};
		await createSite(deps, server, { code: firstSite, name: "Home" });
		const { secret } = await rotateSiteKey(deps, server, { siteCode: firstSite });
		await writePrivate(file, secret);
		return file;
	}
	const token = parseToken((await readFile(file, "utf8").catch(() => "")).trim());
	const [found] = token === undefined ? [] : await keysBySelectors(sql, [{ kind: "site", selector: token.selector }]);
	const [key] = found === undefined ? [] : await keysByIds(sql, tenantId, [found.id]);
	return key?.active === true ? file : undefined;
}
