-- Everything that lets a worker in, four kinds in one table (DESIGN.md, Words).
create table keys (
	id text collate "C" primary key,
	tenant_id text collate "C" not null references tenants (id),
	kind text collate "C" not null check (kind in ('site', 'enroll', 'host', 'auto')),
	site_id text collate "C",
	fleet_id text collate "C" references fleets (id),
	host_id text collate "C",
	name text not null,
	-- Public part of the key's text; null for an auto-enrollment secret, which has none.
	selector text collate "C" unique,
	-- Argon2id PHC string (site), SHA-256 in hex (enroll, host).
	verifier text collate "C" not null,
	-- First four hex digits of SHA-256 of the secret part.
	hint text collate "C" not null,
	version integer not null check (version > 0),
	active boolean not null,
	max_uses integer check (max_uses > 0),
	uses bigint not null default 0,
	expires_at timestamptz(3),
	revoked_at timestamptz(3),
	grace_ends_at timestamptz(3),
	consumed_at timestamptz(3),
	last_used_at timestamptz(3),
	last_worker_id text collate "C",
	allowed_cidrs text[] not null default '{}',
	labels jsonb not null default '{}',
	created_at timestamptz(3) not null,
	check (uses <= max_uses),
	foreign key (tenant_id, site_id) references sites (tenant_id, id)
);
-- S2: one active site key per site at most, whatever the program does; versions only grow.
create unique index keys_one_active_site_key on keys (site_id) where kind = 'site' and active;
create unique index keys_site_version on keys (site_id, version) where kind = 'site';
create index keys_by_tenant on keys (tenant_id, kind, id);
