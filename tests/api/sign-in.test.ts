import { describe, expect, test } from "bun:test";
import { mintAdminToken } from "../../src/auth/tokens.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { Secret } from "../../src/lib/secret.ts";
import { graphql, type Muster } from "../support/muster.ts";
import { hex, rowCount } from "../support/pipeline.ts";
import { newSource, onEachRuntime } from "./support.ts";

const jwtSecret = new Secret("a secret of the tests, forty characters.");
const otherSecret = new Secret("a secret of somebody else, forty of them");

const tokenOf = (tenant: string, { secret = jwtSecret, hours = 1, subject = "ada" } = {}) =>
	mintAdminToken(secret, systemClock, { tenant, role: "admin", subject, hours });

const ask = (server: Muster, token: string, source: string) =>
	graphql(
		server,
		"{ auditLog(first: 20) { nodes { actor action subject detail } } }",
		{},
		{ authorization: `Bearer ${token}`, "x-forwarded-for": source },
	);

onEachRuntime("failed sign-ins of people", (bench) => {
	/** A tenant, and what its audit says of sign-ins that failed. */
	async function newTenant() {
		const slug = `t-${hex(6)}`;
		const token = await tokenOf(slug);
		await ask(bench.server, token, newSource());
		const failures = async () => {
			const { data } = await ask(bench.server, token, newSource());
			return data.auditLog.nodes.filter(({ action }: { action: string }) => action === "login.failed");
		};
		return { slug, failures };
	}

	describe("S7: whoever watches a tenant sees who tried to sign in", () => {
		test("with a token that this server did not sign: the source, the name it gives itself, and why; never the token", async () => {
			const [{ slug, failures }, source] = [await newTenant(), newSource()];
			const forged = await tokenOf(slug, { secret: otherSecret, subject: "mallory\n" });
			const reply = await ask(bench.server, forged, source);
			expect(reply.errors[0]?.extensions).toMatchObject({ code: "UNAUTHENTICATED" });
			const seen = await failures();
			expect(seen).toHaveLength(1);
			expect(seen[0]).toMatchObject({
				actor: `source:${source}`,
				subject: "mallory\ufffd",
				detail: { problem: expect.stringContaining("not valid") },
			});
			expect(JSON.stringify(seen)).not.toContain(forged.split(".")[2] ?? forged);
		});

		test("with one that has expired, over and over: one line a minute, and one more for another source", async () => {
			const { slug, failures } = await newTenant();
			const expired = await tokenOf(slug, { hours: -1 });
			const [source, other] = [newSource(), newSource()];
			for (let time = 0; time < 5; time++) await ask(bench.server, expired, source);
			await ask(bench.server, expired, other);
			const seen = await failures();
			expect(seen.map(({ actor }: { actor: string }) => actor).sort()).toEqual([`source:${source}`, `source:${other}`].sort());
			expect(seen[0].detail.problem).toContain("expired");
		});

		test("with what is no token at all: it names no tenant, so the default one is told", async () => {
			const source = newSource();
			await ask(bench.server, "no.token", source);
			expect(
				await rowCount(bench.database.db, "audit", `action = 'login.failed' and actor = 'source:${source}' and subject = 'unknown'`),
			).toBe(1);
		});

		test("of a tenant that does not exist: nobody's audit is written, and no tenant is made", async () => {
			const [slug, source] = [`t-${hex(6)}`, newSource()];
			await ask(bench.server, await tokenOf(slug, { secret: otherSecret }), source);
			expect(await rowCount(bench.database.db, "tenants", `slug = '${slug}'`)).toBe(0);
			expect(await rowCount(bench.database.db, "audit", `actor = 'source:${source}'`)).toBe(0);
		});
	});
});
