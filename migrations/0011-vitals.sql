-- What workers said of their hosts, the first heartbeat of each minute: a ring of sixty rows a worker, which never grows.
create table vitals (
	tenant_id text collate "C" not null,
	worker_id text collate "C" not null,
	slot smallint not null check (slot between 0 and 59),
	at timestamptz(3) not null,
	boot_id text collate "C",
	load1 double precision,
	memory_used_bytes double precision,
	uptime_seconds double precision,
	primary key (tenant_id, worker_id, slot),
	foreign key (tenant_id, worker_id) references workers (tenant_id, id) on delete cascade
) with (fillfactor = 70);
