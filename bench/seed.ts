/** Workers that are there already, put into the tables directly. */
import { tenant } from "./socket-stage.ts";
import type { BenchDatabase, Progress } from "./stage.ts";

/** The id of the `index`th. */
export function seededWorker(index: number): string {
	return `wrk_${String(index).padStart(26, "0")}`;
}

/** So many active workers of a hundred sites, with hosts, credentials, heartbeats, attempts, audit lines: what an enrollment leaves. */
export async function seed({ db }: BenchDatabase, from: number, to: number, progress: Progress): Promise<void> {
	const step = 50_000;
	const began = performance.now();
	const id = (prefix: string) => `'${prefix}_' || lpad(n::text, 26, '0')`;
	// Foreign keys hold by how the rows are made; to look each up is most of what seeding would take. A superuser may leave that out; indexes stay.
	const [role] = await db.sql`select rolsuper as trusted from pg_roles where rolname = current_user`;
	const trusted = role?.["trusted"] === true;
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
			await db.tx(async (tx) => {
				if (trusted) await tx.unsafe("set local session_replication_role = replica");
				await tx.unsafe(statement);
			});
		const seconds = (performance.now() - began) / 1_000;
		progress(`growth: ${Math.min(to, at + step)} of ${to} workers seeded, ${seconds.toFixed(0)} s`);
	}
	await db.sql`vacuum analyze`;
	if (!trusted) return;
	// What seeding left for the disk to write is not to be written while something is measured.
	progress(`growth: what was seeded is written to disk, ${((performance.now() - began) / 1_000).toFixed(0)} s`);
	await db.sql`checkpoint`;
}
