-- API keys that belong to no single worker: made by an admin, or shared by the auto-enrolled workers of a tenant.
alter table credentials add column kind text collate "C" not null default 'enrollment' check (kind in ('enrollment', 'named', 'shared'));
alter table credentials add column last_used_at timestamptz(3);
alter table credentials add constraint credentials_kind_worker check ((kind = 'enrollment') = (worker_id is not null));
create index credentials_named on credentials (tenant_id, id) where worker_id is null;
-- An API key may be the admin's own text, which carries no selector.
create index credentials_by_hash on credentials (hash) where worker_id is null;

-- Which worker may use which of them. `seq` is taken from the sequence of credentials, so that the newest of either kind is known.
create table api_key_grants (
	tenant_id text collate "C" not null,
	worker_id text collate "C" not null,
	credential_id text collate "C" not null references credentials (id) on delete cascade,
	seq bigint not null,
	granted_at timestamptz(3) not null,
	first_used_at timestamptz(3),
	primary key (tenant_id, worker_id, credential_id),
	foreign key (tenant_id, worker_id) references workers (tenant_id, id) on delete cascade
);
create index api_key_grants_by_credential on api_key_grants (credential_id, tenant_id, worker_id);

create index workers_by_key on workers (tenant_id, key_id);
create index keys_by_host on keys (host_id) where host_id is not null;
