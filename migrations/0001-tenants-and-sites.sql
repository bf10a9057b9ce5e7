-- Tenants own sites; a site is a place, a fleet a group inside it (S1, S10).
create table tenants (
	id text collate "C" primary key,
	slug text collate "C" not null unique,
	name text not null,
	created_at timestamptz(3) not null
);
insert into tenants (id, slug, name, created_at) values ('ten_00000000000000000000000000', 'default', 'Default', now());

create table sites (
	id text collate "C" primary key,
	tenant_id text collate "C" not null references tenants (id),
	code text collate "C" not null,
	name text not null,
	enrollment_policy text collate "C" not null check (enrollment_policy in ('AUTO_APPROVE', 'REQUIRE_APPROVAL')),
	worker_name_pattern text,
	created_at timestamptz(3) not null,
	unique (tenant_id, code),
	unique (tenant_id, id)
);

create table fleets (
	id text collate "C" primary key,
	tenant_id text collate "C" not null,
	site_id text collate "C" not null,
	name text not null,
	created_at timestamptz(3) not null,
	unique (site_id, name),
	foreign key (tenant_id, site_id) references sites (tenant_id, id)
);
