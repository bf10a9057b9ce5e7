-- One row a tenant that ever configured it. The secret is a row of keys (kind auto), sealed under the master key; so is the shared API key here.
create table auto_enrollment (
	tenant_id text collate "C" primary key references tenants (id),
	enabled boolean not null,
	enabled_at timestamptz(3),
	configured_by text collate "C" not null check (configured_by in ('API', 'ENVIRONMENT')),
	credential_id text collate "C" references credentials (id),
	api_key_sealed text collate "C",
	updated_at timestamptz(3) not null,
	check ((credential_id is null) = (api_key_sealed is null))
);
create unique index keys_one_active_auto on keys (tenant_id) where kind = 'auto' and active;

-- Nonces of proven requests, kept until their timestamp is out of tolerance for good.
create table nonces (
	tenant_id text collate "C" not null,
	nonce text collate "C" not null,
	expires_at timestamptz(3) not null,
	primary key (tenant_id, nonce)
);
create index nonces_by_expiry on nonces (expires_at);

-- The names expected of workers that belong to no site.
alter table tenants add column worker_name_pattern text;
