create table alerts (
	id text collate "C" primary key,
	tenant_id text collate "C" not null,
	at timestamptz(3) not null,
	kind text collate "C" not null,
	severity text collate "C" not null check (severity in ('info', 'warning', 'critical')),
	message text not null,
	worker_id text collate "C",
	host_id text collate "C",
	site_id text collate "C",
	acknowledged_at timestamptz(3),
	acknowledged_by text
);
create index alerts_by_tenant on alerts (tenant_id, id);
create index alerts_open on alerts (tenant_id, id) where acknowledged_at is null;

create table audit (
	id text collate "C" primary key,
	tenant_id text collate "C" not null,
	at timestamptz(3) not null,
	actor text not null,
	action text collate "C" not null,
	subject text not null,
	detail jsonb
);
create index audit_by_tenant on audit (tenant_id, id);

-- The outbox: written in the transaction of the change, read by every server process. NOTIFY is only a hint to read it.
create table events (
	id bigint generated always as identity primary key,
	tenant_id text collate "C" not null,
	at timestamptz(3) not null default now(),
	kind text collate "C" not null,
	payload jsonb not null
);
create index events_by_time on events (at);
