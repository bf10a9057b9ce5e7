/** A fleet that is only rows: hosts with workers and heartbeats for the dashboard to show, and changes at a steady rate. */
import type { Db } from "../src/db/port.ts";
import { append } from "../src/events/outbox.ts";
import { hostsByIds, moveHosts } from "../src/hosts/store.ts";

/** Writes `count` hosts in 20 sites of the tenant `default`; returns the tenant's id. */
export async function seedFleet({ sql }: Db, count: number): Promise<string> {
	const [tenant] = await sql.unsafe("select id from tenants where slug = 'default'");
	const id = String(tenant?.["id"]);
	const statements = [
		`insert into sites (id, tenant_id, code, name, enrollment_policy, created_at)
			select 'site_bench' || lpad(n::text, 16, '0'), '${id}', 'plant-' || n, 'Plant ' || n, 'AUTO_APPROVE', now() from generate_series(1, 20) n`,
		`insert into workers (tenant_id, id, name, hostname, machine_uid, site_id, method, auto_enrolled, state, platform, version, labels, enrolled_at, created_at)
			select '${id}', 'wrk_bench' || lpad(n::text, 17, '0'), 'edge-' || lpad(n::text, 6, '0'), 'edge-' || n, md5(n::text),
				'site_bench' || lpad((n % 20 + 1)::text, 16, '0'), 'SITE_KEY', false, 'ACTIVE', 'linux-x64', '0.1.0', '{}', now(), now() from generate_series(1, ${count}) n`,
		`insert into heartbeats (tenant_id, worker_id, at, load1, memory_used_bytes, uptime_seconds)
			select '${id}', 'wrk_bench' || lpad(n::text, 17, '0'), now() + interval '1 hour', random() * 4, random() * 8e9, random() * 1e6 from generate_series(1, ${count}) n`,
		`insert into hosts (id, tenant_id, name, site_id, worker_id, state, last_known_state, monitoring_since, created_at)
			select 'host_bench' || lpad(n::text, 16, '0'), '${id}', 'edge-' || lpad(n::text, 6, '0'), 'site_bench' || lpad((n % 20 + 1)::text, 16, '0'),
				'wrk_bench' || lpad(n::text, 17, '0'), 'MONITORING', 'MONITORING', now(), now() from generate_series(1, ${count}) n`,
		"analyze hosts",
		"analyze workers",
	];
	for (const statement of statements) await sql.unsafe(statement);
	return id;
}

const batchMs = 100;

/** Moves hosts between MONITORING and DEGRADED, `perSecond` of them, with the events that the server writes; stops by the returned function. */
export function churn(db: Db, tenantId: string, count: number, perSecond: number): { stop(): Promise<number> } {
	let running = true;
	let changes = 0;
	const size = Math.max(1, Math.round((perSecond * batchMs) / 1_000));
	async function run(): Promise<void> {
		const started = performance.now();
		for (let round = 0; running; round++) {
			const ids = new Set(
				Array.from({ length: size }, () => `host_bench${String(1 + Math.floor(Math.random() * count)).padStart(16, "0")}`),
			);
			await db.tx(async (tx) => {
				const hosts = await hostsByIds(tx, tenantId, [...ids]);
				const lost = hosts.filter(({ state }) => state === "DEGRADED").map(({ id }) => id);
				const well = hosts.filter(({ state }) => state === "MONITORING").map(({ id }) => id);
				const [up, down] = [
					{ state: "MONITORING", lastKnownState: "MONITORING" } as const,
					{ state: "DEGRADED", lastKnownState: "MONITORING" } as const,
				];
				const moved = [...(await moveHosts(tx, lost, down, up)), ...(await moveHosts(tx, well, up, down))];
				await append(
					tx,
					moved.map((host) => ({ tenantId, event: { kind: "host", host } })),
				);
				changes += moved.length;
			});
			const dueMs = started + (round + 1) * batchMs - performance.now();
			if (dueMs > 0) await new Promise((resolve) => setTimeout(resolve, dueMs));
		}
	}
	const done = run();
	return {
		async stop() {
			running = false;
			await done;
			return changes;
		},
	};
}
