-- When the mesh says it made a key: its ids begin anew with a new database, and then mean other machines' keys. Null: made before this was noted.
alter table mesh_keys add column remote_created_at timestamptz(3);

-- Ended keys of hosts that live are kept only while a node may have joined with them.
create index mesh_keys_ended on mesh_keys (next_attempt_at) where state = 'ended' and host_id is not null;

-- Alerts that somebody acknowledged go when their time is over; those that nobody saw stay, however many, and are not read for that.
create index alerts_acknowledged on alerts (id) where acknowledged_at is not null;
