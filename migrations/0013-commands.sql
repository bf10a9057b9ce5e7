-- What workers were asked to do on their hosts. The order of a host is that of `sequence`: it is given under the host's lock.
create table commands (
	id text collate "C" primary key,
	sequence bigint not null generated always as identity,
	tenant_id text collate "C" not null references tenants (id),
	host_id text collate "C" not null,
	worker_id text collate "C" not null,
	kind text collate "C" not null,
	lane text collate "C" not null check (lane in ('free', 'ordered')),
	state text collate "C" not null check (state in ('QUEUED', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED', 'EXPIRED')),
	-- As people may see them. What holds a secret is masked here and stands sealed beside it until the end.
	params jsonb not null,
	params_sealed text collate "C",
	requested_by text not null,
	requested_at timestamptz(3) not null,
	deadline_at timestamptz(3) not null,
	-- When a server gave it to the worker first; the worker says itself when it began.
	handed_at timestamptz(3),
	started_at timestamptz(3),
	cancel_requested_at timestamptz(3),
	ended_at timestamptz(3),
	result jsonb,
	error_code text collate "C",
	error_message text,
	-- Whether it lives only as long as somebody reads its output; the reader there is, and until when its claim holds.
	follows boolean not null,
	reader text collate "C",
	reader_until timestamptz(3),
	-- Chunks of output before this one were passed on to a reader, or given up.
	output_passed bigint not null,
	check ((ended_at is not null) = (state in ('SUCCEEDED', 'FAILED', 'CANCELLED', 'EXPIRED'))),
	check (params_sealed is null or ended_at is null)
) with (fillfactor = 80);
create index commands_unfinished on commands (tenant_id, worker_id, lane, sequence) where ended_at is null;
create index commands_due on commands (deadline_at) where ended_at is null;
create index commands_by_host on commands (tenant_id, host_id, id);
create index commands_by_tenant on commands (tenant_id, id);
create index commands_ended on commands (ended_at) where ended_at is not null;

-- The one subscription of each worker that is given orders: a newer one takes over, on whichever server.
create table command_streams (
	tenant_id text collate "C" not null,
	worker_id text collate "C" not null,
	stream text collate "C" not null,
	primary key (tenant_id, worker_id),
	foreign key (tenant_id, worker_id) references workers (tenant_id, id) on delete cascade
);

-- Output between a worker and the reader of a command, which may be on different servers. Small and short-lived: lost when PostgreSQL crashes.
create unlogged table command_output (
	tenant_id text collate "C" not null,
	command_id text collate "C" not null references commands (id) on delete cascade,
	sequence bigint not null,
	stream text collate "C" not null check (stream in ('STDOUT', 'STDERR')),
	data bytea not null,
	primary key (command_id, sequence)
);

-- Bytes for a command's stdin on their way to its worker.
create unlogged table command_input (
	tenant_id text collate "C" not null,
	command_id text collate "C" not null references commands (id) on delete cascade,
	id bigint not null generated always as identity,
	data bytea not null,
	is_end boolean not null,
	primary key (command_id, id)
);
