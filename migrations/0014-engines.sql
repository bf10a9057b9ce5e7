-- The engine of each host as its worker saw it last. Null id: there was none, `reason` says why.
create table engines (
	tenant_id text collate "C" not null,
	host_id text collate "C" primary key references hosts (id) on delete cascade,
	engine_id text collate "C",
	version text,
	api_version text,
	reason text,
	reported_at timestamptz(3) not null
);

create table containers (
	tenant_id text collate "C" not null,
	host_id text collate "C" not null references hosts (id) on delete cascade,
	id text collate "C" not null,
	name text not null,
	image text not null,
	state text not null,
	status text not null,
	created_at timestamptz(3) not null,
	labels jsonb not null,
	ports text[] not null,
	primary key (tenant_id, host_id, id)
);

-- What happened on a host's engine: the newest few hundred of each host.
create table host_events (
	id bigint primary key generated always as identity,
	tenant_id text collate "C" not null,
	host_id text collate "C" not null references hosts (id) on delete cascade,
	at timestamptz(3) not null,
	type text not null,
	action text not null,
	subject text not null,
	name text,
	attributes jsonb not null
);
create index host_events_by_host on host_events (tenant_id, host_id, id);
create index host_events_by_time on host_events (at);

-- Figures of each container, the first of each minute: a ring of sixty rows, which goes with its container.
create table container_stats (
	tenant_id text collate "C" not null,
	host_id text collate "C" not null,
	container_id text collate "C" not null,
	slot smallint not null check (slot between 0 and 59),
	at timestamptz(3) not null,
	cpu_cores double precision not null,
	memory_bytes double precision not null,
	memory_limit_bytes double precision,
	network_received_bytes double precision not null,
	network_sent_bytes double precision not null,
	primary key (tenant_id, host_id, container_id, slot),
	foreign key (tenant_id, host_id, container_id) references containers (tenant_id, host_id, id) on delete cascade
) with (fillfactor = 70);
