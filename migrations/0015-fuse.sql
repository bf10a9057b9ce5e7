-- What was begun to fuse hosts, how far it came, and what is left to undo of it. It outlives its host, so that nothing stays behind in Portainer.
create table fusions (
	id text collate "C" primary key,
	tenant_id text collate "C" not null references tenants (id),
	host_id text collate "C" not null,
	worker_id text collate "C" not null,
	provider text collate "C" not null check (provider in ('DOCKER', 'PORTAINER')),
	step text collate "C" not null check (step in ('PROVE', 'GRANT', 'REGISTER', 'DEPLOY', 'CHECK_IN', 'CONNECT', 'FUSED', 'REMOVE_AGENT',
		'REMOVE_ENVIRONMENT', 'ENDED')),
	-- What the prover's container carries, or the Edge agent's id.
	challenge text collate "C" not null,
	-- Unique to this fusion: whoever finds an environment of this name may take or remove it.
	environment_name text,
	environment_id bigint,
	engine_id text collate "C",
	-- The worker's command that this step waits for.
	command_id text collate "C",
	requested_by text not null,
	started_at timestamptz(3) not null,
	deadline_at timestamptz(3) not null,
	fused_at timestamptz(3),
	-- When it stopped being or becoming fused; undoing goes on after it.
	ended_at timestamptz(3),
	outcome text collate "C" check (outcome in ('FAILED', 'CANCELLED', 'UNFUSED', 'ENGINE_CHANGED', 'HOST_GONE')),
	failure_source text collate "C" check (failure_source in ('docker_error', 'portainer_error', 'watchdog_timeout')),
	failure_message text,
	-- A step that a server does itself: from when, until when one has it, and which attempt it is.
	due_at timestamptz(3),
	lease_until timestamptz(3),
	attempts integer not null,
	last_error text,
	check ((outcome is null) = (ended_at is null)),
	check ((outcome is null) = (step in ('PROVE', 'GRANT', 'REGISTER', 'DEPLOY', 'CHECK_IN', 'CONNECT', 'FUSED')))
);
create unique index fusions_live on fusions (tenant_id, host_id) where outcome is null;
create index fusions_by_host on fusions (tenant_id, host_id, id);
create index fusions_deadline on fusions (deadline_at) where outcome is null and fused_at is null;
create index fusions_due on fusions (due_at) where due_at is not null;
create index fusions_command on fusions (command_id) where command_id is not null;
create index fusions_ended on fusions (ended_at) where step = 'ENDED';

-- Commands that a server does through Portainer, in place of the worker.
alter table commands add column by_server boolean not null default false;
create index commands_by_server on commands (sequence) where by_server and ended_at is null;

-- Which server is at one of them, and until when; runs is its number, which whoever records the end must still find here.
create table command_runs (
	tenant_id text collate "C" not null,
	command_id text collate "C" primary key references commands (id) on delete cascade,
	runs integer not null,
	lease_until timestamptz(3) not null
);
