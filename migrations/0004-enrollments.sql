-- The reply memory (G6): what one enrollment id was answered, kept ten minutes after the answer.
create table enrollments (
	tenant_id text collate "C" not null,
	enrollment_id text collate "C" not null,
	key_id text collate "C" not null,
	worker_id text collate "C" not null,
	host_id text collate "C",
	machine_uid text collate "C" not null,
	reply_key text collate "C",
	state text collate "C" not null check (state in ('held', 'admitted')),
	outcome text collate "C" check (outcome in ('NEW', 'REUSED', 'MOVED')),
	credential_id text collate "C",
	sealed text collate "C",
	created_at timestamptz(3) not null,
	-- Null while held: the ten minutes begin with the operator's answer.
	expires_at timestamptz(3),
	primary key (tenant_id, enrollment_id)
);
create index enrollments_by_expiry on enrollments (expires_at);

-- Every attempt, good or bad (H8). No tenant: the claim named none that exists, so no one may see it.
create table attempts (
	id text collate "C" primary key,
	tenant_id text collate "C",
	at timestamptz(3) not null,
	method text collate "C",
	accepted boolean not null,
	outcome text collate "C",
	reason text collate "C",
	source_address text collate "C" not null,
	claimed_name text,
	hostname text,
	machine_uid text,
	site_id text collate "C",
	host_id text collate "C",
	worker_id text collate "C",
	key_id text collate "C"
);
create index attempts_by_tenant on attempts (tenant_id, id);
create index attempts_by_site on attempts (tenant_id, site_id, id);
create index attempts_by_host on attempts (host_id, id);
