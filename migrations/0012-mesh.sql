-- Keys of the mesh that were asked for, from before they are minted until nobody can use them: so that none stays valid that nobody holds (H6).
create table mesh_keys (
	id text collate "C" primary key,
	tenant_id text collate "C" not null references tenants (id),
	-- The host whose worker it lets onto the mesh. Null: the host was deleted, its key and its node are to go.
	host_id text collate "C" references hosts (id) on delete set null,
	enrollment_id text collate "C" not null,
	-- The mesh's own id. Null until its answer was heard, and for good when that was lost.
	remote_id text collate "C",
	-- As it was asked for, to the microsecond: by this a key is found whose id was never heard.
	expiration text collate "C" not null unique,
	-- minting: asked for. minted: not yet given to anyone. held: given to a worker. ending: to be expired. ended: expired, kept for its node.
	state text collate "C" not null check (state in ('minting', 'minted', 'held', 'ending', 'ended')),
	created_at timestamptz(3) not null,
	held_at timestamptz(3),
	attempts integer not null,
	-- When housekeeping looks at it next: at a key that was not given to anyone by then, that is to end, or whose host is gone.
	next_attempt_at timestamptz(3) not null
);
create index mesh_keys_by_host on mesh_keys (host_id);
create index mesh_keys_by_remote on mesh_keys (tenant_id, remote_id);
create index mesh_keys_due on mesh_keys (next_attempt_at) where state in ('minting', 'minted', 'ending') or host_id is null;

-- What workers say of their own place on the mesh.
create table mesh_reports (
	tenant_id text collate "C" not null,
	worker_id text collate "C" not null,
	at timestamptz(3) not null,
	state text not null,
	addresses text[] not null,
	node_name text,
	primary key (tenant_id, worker_id),
	foreign key (tenant_id, worker_id) references workers (tenant_id, id) on delete cascade
) with (fillfactor = 70);

-- The reply memory keeps the mesh key beside the API key: the same enrollment gets the same sealed reply (G6).
alter table enrollments add column mesh_key_id text collate "C", add column sealed_mesh text collate "C";

-- The mesh's last alert decides whether there is another to raise.
create index alerts_of_mesh on alerts (tenant_id, id) where kind in ('MESH_DOWN', 'MESH_RECOVERED');
