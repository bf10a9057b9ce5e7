create table workers (
	tenant_id text collate "C" not null references tenants (id),
	id text collate "C" not null,
	name text not null,
	hostname text,
	-- S4: one worker a machine. Null for a claim held because of a collision, and for workers made by an admin.
	machine_uid text collate "C",
	site_id text collate "C",
	fleet_id text collate "C" references fleets (id),
	key_id text collate "C",
	key_version integer,
	method text collate "C" not null,
	auto_enrolled boolean not null,
	state text collate "C" not null check (state in ('ACTIVE', 'PENDING', 'REVOKED')),
	pending_reason text collate "C" check (pending_reason in ('COLLISION', 'APPROVAL_REQUIRED')),
	-- Of a held collision: the uid it claims and the worker that has it, with what both said of themselves (S5).
	contested_uid text collate "C",
	contested_worker_id text collate "C",
	evidence jsonb,
	labels jsonb not null,
	version text,
	platform text,
	created_at timestamptz(3) not null,
	enrolled_at timestamptz(3) not null,
	primary key (tenant_id, id),
	unique (tenant_id, machine_uid),
	foreign key (tenant_id, site_id) references sites (tenant_id, id),
	check ((state = 'PENDING') = (pending_reason is not null))
);
create index workers_by_age on workers (tenant_id, created_at, id);
create index workers_by_site on workers (tenant_id, site_id, created_at, id);
create index workers_contested on workers (tenant_id, contested_uid) where contested_uid is not null;

create table hosts (
	id text collate "C" primary key,
	tenant_id text collate "C" not null references tenants (id),
	name text not null,
	site_id text collate "C",
	worker_id text collate "C",
	state text collate "C" not null check (state in ('PENDING', 'MONITORING', 'FUSING', 'FUSED', 'DEGRADED')),
	last_known_state text collate "C" not null check (last_known_state in ('PENDING', 'MONITORING', 'FUSING', 'FUSED')),
	mesh_address text,
	fuse_provider text collate "C" check (fuse_provider in ('DOCKER', 'PORTAINER')),
	-- When it became MONITORING last: a host that never sent a heartbeat goes stale from here.
	monitoring_since timestamptz(3),
	created_at timestamptz(3) not null,
	unique (tenant_id, worker_id),
	foreign key (tenant_id, worker_id) references workers (tenant_id, id) on delete cascade,
	foreign key (tenant_id, site_id) references sites (tenant_id, id),
	check (state = 'DEGRADED' or state = last_known_state)
);
create index hosts_by_tenant on hosts (tenant_id, id);
create index hosts_by_site on hosts (tenant_id, site_id, id);
create index hosts_by_name on hosts (tenant_id, name);
create index hosts_by_state on hosts (tenant_id, state, id);

-- What a worker shows after enrollment. Only SHA-256 of it is kept (B6).
create table credentials (
	id text collate "C" primary key,
	-- Which of a worker's credentials is the newer one: given under the worker's lock, where clocks of several servers could lie.
	seq bigint not null generated always as identity,
	tenant_id text collate "C" not null,
	-- Null: a shared API key.
	worker_id text collate "C",
	name text not null,
	selector text collate "C" not null unique,
	hash bytea not null check (length(hash) = 32),
	hint text collate "C" not null,
	created_at timestamptz(3) not null,
	first_used_at timestamptz(3),
	revoked_at timestamptz(3),
	foreign key (tenant_id, worker_id) references workers (tenant_id, id) on delete cascade
);
create index credentials_by_worker on credentials (tenant_id, worker_id);

-- The last heartbeat of each worker, apart from workers so that a beat rewrites a narrow row.
create table heartbeats (
	tenant_id text collate "C" not null,
	worker_id text collate "C" not null,
	at timestamptz(3) not null,
	boot_id text collate "C",
	sequence bigint,
	load1 double precision,
	memory_used_bytes double precision,
	uptime_seconds double precision,
	primary key (tenant_id, worker_id),
	foreign key (tenant_id, worker_id) references workers (tenant_id, id) on delete cascade
) with (fillfactor = 70);
