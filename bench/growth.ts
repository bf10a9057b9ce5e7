/** What do a thousand, and a million, workers that are there already cost: enrolling, the first page of a list, a list by site? (G7) */
import { asAdmin, type Muster } from "../tests/support/muster.ts";
import { type Figure, median } from "./figures.ts";
import { type BenchDatabase, enrollments, makeKeys, openMuster, openPostgres, type Progress } from "./stage.ts";

const tenant = "ten_00000000000000000000000000";
const page = "query ($site: String) { workers(first: 50, siteCode: $site) { edges { node { id name state } } } }";

/** So many active workers of a hundred sites, with hosts, credentials, heartbeats, attempts, audit lines: what an enrollment leaves. */
async function seed({ db }: BenchDatabase, from: number, to: number, progress: Progress): Promise<void> {
	const step = 50_000;
	const id = (prefix: string) => `'${prefix}_' || lpad(n::text, 26, '0')`;
	if (from === 0)
		await db.sql.unsafe(
			`insert into sites (id, tenant_id, code, name, enrollment_policy, created_at) select 'site_' || n, '${tenant}', 'seed-' || n, 'x', 'AUTO_APPROVE', now() from generate_series(0, 99) n`,
		);
	for (let at = from; at < to; at += step) {
		const many = `generate_series(${at}, ${Math.min(to, at + step) - 1}) n`;
		for (const statement of [
			`insert into workers (tenant_id, id, name, hostname, machine_uid, site_id, method, auto_enrolled, state, labels, created_at, enrolled_at)
			select '${tenant}', ${id("wrk")}, 'w' || n, 'w' || n, 'uid-' || md5(n::text), 'site_' || n % 100, 'SITE_KEY', false, 'ACTIVE', '{}', now() - n * interval '1 s', now() from ${many}`,
			`insert into hosts (id, tenant_id, name, site_id, worker_id, state, last_known_state, created_at) select ${id("host")}, '${tenant}', 'h' || n, 'site_' || n % 100, ${id("wrk")}, 'MONITORING', 'MONITORING', now() from ${many}`,
			`insert into credentials (id, tenant_id, worker_id, name, selector, hash, hint, created_at) select ${id("cred")}, '${tenant}', ${id("wrk")}, 'x', 'seed' || n, sha256(n::text::bytea), 'x', now() from ${many}`,
			`insert into heartbeats (tenant_id, worker_id, at) select '${tenant}', ${id("wrk")}, now() from ${many}`,
			`insert into attempts (id, tenant_id, at, method, accepted, outcome, source_address) select ${id("att")}, '${tenant}', now(), 'SITE_KEY', true, 'NEW', '192.0.2.1' from ${many}`,
			`insert into audit (id, tenant_id, at, actor, action, subject) select ${id("aud")}, '${tenant}', now(), 'x', 'enrollment.admitted', 'x' from ${many}`,
		])
			await db.tx((tx) => tx.unsafe(statement));
		progress(`growth: ${Math.min(to, at + step)} workers seeded`);
	}
	await db.sql`vacuum analyze`;
}

async function listMs(server: Muster, variables: object): Promise<number> {
	const times: number[] = [];
	for (let round = 0; round < 15; round++) {
		const at = performance.now();
		await asAdmin(server, page, variables);
		times.push(performance.now() - at);
	}
	return median(times);
}

/** Two databases side by side, a small one and one that grows: each size is measured by turns with the small one. */
export async function growth(quick: boolean, progress: Progress): Promise<Figure[]> {
	const sizes = quick ? [10_000] : [10_000, 100_000, 1_000_000];
	const postgres = await openPostgres();
	const [small, large] = [await postgres.database(), await postgres.database()];
	await seed(small, 0, 1_000, progress);
	const figures: Figure[] = [];
	let there = 0;
	for (const size of sizes) {
		await seed(large, there, size, progress);
		there = size;
		const servers = [await openMuster("bun", small.url), await openMuster("bun", large.url)] as const;
		const keys = [await makeKeys(servers[0]), await makeKeys(servers[1])] as const;
		const ratios: number[] = [];
		for (let round = quick ? 0 : -1; round < (quick ? 1 : 5); round++) {
			const rates: number[] = [];
			for (const side of [0, 1] as const) {
				const result = await enrollments(servers[side], {
					clients: 64,
					warmSeconds: 1,
					seconds: quick ? 2 : 3,
					credential: keys[side].siteKey,
				});
				rates.push(result.perSecond);
			}
			const [few = Number.NaN, many = Number.NaN] = rates;
			if (round >= 0) ratios.push(many / few);
			progress(`growth: ${many.toFixed(0)}/s among ${size} workers, ${few.toFixed(0)}/s among 1,000`);
		}
		const [all, some] = [await listMs(servers[1], {}), await listMs(servers[1], { site: "seed-7" })];
		const [fewAll, fewSome] = [await listMs(servers[0], {}), await listMs(servers[0], { site: "seed-7" })];
		figures.push({
			name: `enroll among ${size} workers ÷ among 1,000`,
			value: median(ratios),
			...(size === 1_000_000 ? { bar: 0.8, stretch: 0.95 } : {}),
			detail: { firstPageMs: all, firstPageMsAmong1000: fewAll, siteMs: some, siteMsAmong1000: fewSome },
		});
		await Promise.all(servers.map((server) => server.stop()));
	}
	await large.drop();
	await small.drop();
	await postgres.stop();
	return figures;
}
