-- What shall be on the hosts. The compose file, its variables and what they come to hold secrets: they stand sealed.
create table stacks (
	id text collate "C" primary key,
	tenant_id text collate "C" not null references tenants (id),
	host_id text collate "C" not null references hosts (id) on delete cascade,
	name text collate "C" not null,
	revision integer not null,
	desired_sealed text collate "C" not null,
	-- Name, image and number of containers of each service; the names of the variables.
	services jsonb not null,
	variables text[] collate "C" not null,
	created_at timestamptz(3) not null,
	updated_at timestamptz(3) not null,
	updated_by text not null,
	-- The last command about it, and how that ended; null while it has not.
	command_id text collate "C" not null,
	outcome text collate "C" check (outcome in ('SUCCEEDED', 'FAILED', 'CANCELLED', 'EXPIRED')),
	error text,
	unique (tenant_id, host_id, name)
);
create index stacks_by_command on stacks (command_id);
