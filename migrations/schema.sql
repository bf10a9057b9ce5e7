-- The schema after the last migration. Written by `node scripts/run.mjs schema:sql`; do not edit.

create table alerts (
	id text collate "C" not null,
	tenant_id text collate "C" not null,
	at timestamp(3) with time zone not null,
	kind text collate "C" not null,
	severity text collate "C" not null,
	message text not null,
	worker_id text collate "C",
	host_id text collate "C",
	site_id text collate "C",
	acknowledged_at timestamp(3) with time zone,
	acknowledged_by text,
	topic text collate "C",
	constraint alerts_pkey PRIMARY KEY (id),
	constraint alerts_severity_check CHECK ((severity = ANY (ARRAY['info'::text, 'warning'::text, 'critical'::text])))
);
CREATE INDEX alerts_acknowledged ON alerts USING btree (id) WHERE (acknowledged_at IS NOT NULL);
CREATE INDEX alerts_by_tenant ON alerts USING btree (tenant_id, id);
CREATE INDEX alerts_of_mesh ON alerts USING btree (tenant_id, id) WHERE (kind = ANY (ARRAY['MESH_DOWN'::text, 'MESH_RECOVERED'::text]));
CREATE UNIQUE INDEX alerts_one_a_topic ON alerts USING btree (tenant_id, topic) WHERE (topic IS NOT NULL);
CREATE INDEX alerts_open ON alerts USING btree (tenant_id, id) WHERE (acknowledged_at IS NULL);

create table api_key_grants (
	tenant_id text collate "C" not null,
	worker_id text collate "C" not null,
	credential_id text collate "C" not null,
	seq bigint not null,
	granted_at timestamp(3) with time zone not null,
	first_used_at timestamp(3) with time zone,
	constraint api_key_grants_pkey PRIMARY KEY (tenant_id, worker_id, credential_id),
	constraint api_key_grants_credential_id_fkey FOREIGN KEY (credential_id) REFERENCES credentials(id) ON DELETE CASCADE,
	constraint api_key_grants_tenant_id_worker_id_fkey FOREIGN KEY (tenant_id, worker_id) REFERENCES workers(tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX api_key_grants_by_credential ON api_key_grants USING btree (credential_id, tenant_id, worker_id);

create table attempts (
	id text collate "C" not null,
	tenant_id text collate "C",
	at timestamp(3) with time zone not null,
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
	key_id text collate "C",
	constraint attempts_pkey PRIMARY KEY (id)
);
CREATE INDEX attempts_by_host ON attempts USING btree (host_id, id);
CREATE INDEX attempts_by_site ON attempts USING btree (tenant_id, site_id, id);
CREATE INDEX attempts_by_tenant ON attempts USING btree (tenant_id, id);
alter table attempts alter column id set statistics 10;
alter table attempts alter column tenant_id set statistics 10;
alter table attempts alter column at set statistics 10;
alter table attempts alter column method set statistics 10;
alter table attempts alter column accepted set statistics 10;
alter table attempts alter column outcome set statistics 10;
alter table attempts alter column reason set statistics 10;
alter table attempts alter column source_address set statistics 10;
alter table attempts alter column claimed_name set statistics 10;
alter table attempts alter column hostname set statistics 10;
alter table attempts alter column machine_uid set statistics 10;
alter table attempts alter column site_id set statistics 10;
alter table attempts alter column host_id set statistics 10;
alter table attempts alter column worker_id set statistics 10;
alter table attempts alter column key_id set statistics 10;

create table audit (
	id text collate "C" not null,
	tenant_id text collate "C" not null,
	at timestamp(3) with time zone not null,
	actor text not null,
	action text collate "C" not null,
	subject text not null,
	detail jsonb,
	constraint audit_pkey PRIMARY KEY (id)
);
CREATE INDEX audit_by_tenant ON audit USING btree (tenant_id, id);
CREATE INDEX audit_terms ON audit USING gin ((
CASE
    WHEN (action ~~ 'enrollment.%'::text) THEN array_to_tsvector(array_remove(string_to_array(lower(("left"(((((((((((replace(action, '.'::text, ' '::text) || ' '::text) || substr(actor, (strpos(actor, ':'::text) + 1))) || ' '::text) || subject) || ' '::text) || COALESCE((detail ->> 'name'::text), ''::text)) || ' '::text) || COALESCE((detail ->> 'machineUid'::text), ''::text)) || ' '::text) || replace(COALESCE((detail ->> 'reason'::text), ''::text), '_'::text, ' '::text)), 500) COLLATE "C")), ' '::text), ''::text))
    ELSE array_to_tsvector(string_to_array(btrim(regexp_replace(lower(("left"(((((((action || ' '::text) || actor) || ' '::text) || subject) || ' '::text) || COALESCE((detail)::text, ''::text)), 500) COLLATE "C")), '[\x01-\x2f\x3a-\x60\x7b-\x7f]+'::text, ' '::text, 'g'::text)), ' '::text))
END));
alter table audit alter column id set statistics 10;
alter table audit alter column tenant_id set statistics 10;
alter table audit alter column at set statistics 10;
alter table audit alter column actor set statistics 10;
alter table audit alter column action set statistics 10;
alter table audit alter column subject set statistics 10;
alter table audit alter column detail set statistics 0;
alter index audit_terms alter column 1 set statistics 10;

create table auto_enrollment (
	tenant_id text collate "C" not null,
	enabled boolean not null,
	enabled_at timestamp(3) with time zone,
	configured_by text collate "C" not null,
	credential_id text collate "C",
	api_key_sealed text collate "C",
	updated_at timestamp(3) with time zone not null,
	constraint auto_enrollment_pkey PRIMARY KEY (tenant_id),
	constraint auto_enrollment_credential_id_fkey FOREIGN KEY (credential_id) REFERENCES credentials(id),
	constraint auto_enrollment_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants(id),
	constraint auto_enrollment_check CHECK (((credential_id IS NULL) = (api_key_sealed IS NULL))),
	constraint auto_enrollment_configured_by_check CHECK ((configured_by = ANY (ARRAY['API'::text, 'ENVIRONMENT'::text])))
);

create unlogged table command_input (
	tenant_id text collate "C" not null,
	command_id text collate "C" not null,
	id bigint not null generated always as identity,
	data bytea not null,
	is_end boolean not null,
	constraint command_input_pkey PRIMARY KEY (command_id, id),
	constraint command_input_command_id_fkey FOREIGN KEY (command_id) REFERENCES commands(id) ON DELETE CASCADE
);

create unlogged table command_output (
	tenant_id text collate "C" not null,
	command_id text collate "C" not null,
	sequence bigint not null,
	stream text collate "C" not null,
	data bytea not null,
	constraint command_output_pkey PRIMARY KEY (command_id, sequence),
	constraint command_output_command_id_fkey FOREIGN KEY (command_id) REFERENCES commands(id) ON DELETE CASCADE,
	constraint command_output_stream_check CHECK ((stream = ANY (ARRAY['STDOUT'::text, 'STDERR'::text])))
);

create table command_runs (
	tenant_id text collate "C" not null,
	command_id text collate "C" not null,
	runs integer not null,
	lease_until timestamp(3) with time zone not null,
	constraint command_runs_pkey PRIMARY KEY (command_id),
	constraint command_runs_command_id_fkey FOREIGN KEY (command_id) REFERENCES commands(id) ON DELETE CASCADE
);

create table command_streams (
	tenant_id text collate "C" not null,
	worker_id text collate "C" not null,
	stream text collate "C" not null,
	constraint command_streams_pkey PRIMARY KEY (tenant_id, worker_id),
	constraint command_streams_tenant_id_worker_id_fkey FOREIGN KEY (tenant_id, worker_id) REFERENCES workers(tenant_id, id) ON DELETE CASCADE
);

create table commands (
	id text collate "C" not null,
	sequence bigint not null generated always as identity,
	tenant_id text collate "C" not null,
	host_id text collate "C" not null,
	worker_id text collate "C" not null,
	kind text collate "C" not null,
	lane text collate "C" not null,
	state text collate "C" not null,
	params jsonb not null,
	params_sealed text collate "C",
	requested_by text not null,
	requested_at timestamp(3) with time zone not null,
	deadline_at timestamp(3) with time zone not null,
	handed_at timestamp(3) with time zone,
	started_at timestamp(3) with time zone,
	cancel_requested_at timestamp(3) with time zone,
	ended_at timestamp(3) with time zone,
	result jsonb,
	error_code text collate "C",
	error_message text,
	follows boolean not null,
	reader text collate "C",
	reader_until timestamp(3) with time zone,
	output_passed bigint not null,
	by_server boolean not null default false,
	constraint commands_pkey PRIMARY KEY (id),
	constraint commands_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants(id),
	constraint commands_check CHECK (((ended_at IS NOT NULL) = (state = ANY (ARRAY['SUCCEEDED'::text, 'FAILED'::text, 'CANCELLED'::text, 'EXPIRED'::text])))),
	constraint commands_check1 CHECK (((params_sealed IS NULL) OR (ended_at IS NULL))),
	constraint commands_lane_check CHECK ((lane = ANY (ARRAY['free'::text, 'ordered'::text]))),
	constraint commands_state_check CHECK ((state = ANY (ARRAY['QUEUED'::text, 'RUNNING'::text, 'SUCCEEDED'::text, 'FAILED'::text, 'CANCELLED'::text, 'EXPIRED'::text])))
) with (fillfactor=80);
CREATE INDEX commands_by_host ON commands USING btree (tenant_id, host_id, id);
CREATE INDEX commands_by_server ON commands USING btree (sequence) WHERE (by_server AND (ended_at IS NULL));
CREATE INDEX commands_by_tenant ON commands USING btree (tenant_id, id);
CREATE INDEX commands_due ON commands USING btree (deadline_at) WHERE (ended_at IS NULL);
CREATE INDEX commands_ended ON commands USING btree (ended_at) WHERE (ended_at IS NOT NULL);
CREATE INDEX commands_unfinished ON commands USING btree (tenant_id, worker_id, lane, sequence) WHERE (ended_at IS NULL);

create table container_stats (
	tenant_id text collate "C" not null,
	host_id text collate "C" not null,
	container_id text collate "C" not null,
	slot smallint not null,
	at timestamp(3) with time zone not null,
	cpu_cores double precision not null,
	memory_bytes double precision not null,
	memory_limit_bytes double precision,
	network_received_bytes double precision not null,
	network_sent_bytes double precision not null,
	constraint container_stats_pkey PRIMARY KEY (tenant_id, host_id, container_id, slot),
	constraint container_stats_tenant_id_host_id_container_id_fkey FOREIGN KEY (tenant_id, host_id, container_id) REFERENCES containers(tenant_id, host_id, id) ON DELETE CASCADE,
	constraint container_stats_slot_check CHECK (((slot >= 0) AND (slot <= 59)))
) with (fillfactor=70);

create table containers (
	tenant_id text collate "C" not null,
	host_id text collate "C" not null,
	id text collate "C" not null,
	name text not null,
	image text not null,
	state text not null,
	status text not null,
	created_at timestamp(3) with time zone not null,
	labels jsonb not null,
	ports text[] not null,
	constraint containers_pkey PRIMARY KEY (tenant_id, host_id, id),
	constraint containers_host_id_fkey FOREIGN KEY (host_id) REFERENCES hosts(id) ON DELETE CASCADE
);

create table credentials (
	id text collate "C" not null,
	seq bigint not null generated always as identity,
	tenant_id text collate "C" not null,
	worker_id text collate "C",
	name text not null,
	selector text collate "C" not null,
	hash bytea not null,
	hint text collate "C" not null,
	created_at timestamp(3) with time zone not null,
	first_used_at timestamp(3) with time zone,
	revoked_at timestamp(3) with time zone,
	kind text collate "C" not null default 'enrollment'::text,
	last_used_at timestamp(3) with time zone,
	constraint credentials_pkey PRIMARY KEY (id),
	constraint credentials_selector_key UNIQUE (selector),
	constraint credentials_hash_check CHECK ((length(hash) = 32)),
	constraint credentials_kind_check CHECK ((kind = ANY (ARRAY['enrollment'::text, 'named'::text, 'shared'::text]))),
	constraint credentials_kind_worker CHECK (((kind = 'enrollment'::text) = (worker_id IS NOT NULL)))
);
CREATE INDEX credentials_by_hash ON credentials USING btree (hash) WHERE (worker_id IS NULL);
CREATE INDEX credentials_by_worker ON credentials USING btree (tenant_id, worker_id);
CREATE INDEX credentials_named ON credentials USING btree (tenant_id, id) WHERE (worker_id IS NULL);
alter table credentials alter column id set statistics 10;
alter table credentials alter column seq set statistics 10;
alter table credentials alter column tenant_id set statistics 10;
alter table credentials alter column worker_id set statistics 10;
alter table credentials alter column name set statistics 10;
alter table credentials alter column selector set statistics 10;
alter table credentials alter column hash set statistics 10;
alter table credentials alter column hint set statistics 10;
alter table credentials alter column created_at set statistics 10;
alter table credentials alter column first_used_at set statistics 10;
alter table credentials alter column revoked_at set statistics 10;
alter table credentials alter column kind set statistics 10;
alter table credentials alter column last_used_at set statistics 10;

create table engines (
	tenant_id text collate "C" not null,
	host_id text collate "C" not null,
	engine_id text collate "C",
	version text,
	api_version text,
	reason text,
	reported_at timestamp(3) with time zone not null,
	constraint engines_pkey PRIMARY KEY (host_id),
	constraint engines_host_id_fkey FOREIGN KEY (host_id) REFERENCES hosts(id) ON DELETE CASCADE
);

create table enrollments (
	tenant_id text collate "C" not null,
	enrollment_id text collate "C" not null,
	key_id text collate "C" not null,
	worker_id text collate "C" not null,
	host_id text collate "C",
	machine_uid text collate "C" not null,
	reply_key text collate "C",
	state text collate "C" not null,
	outcome text collate "C",
	credential_id text collate "C",
	sealed text collate "C",
	created_at timestamp(3) with time zone not null,
	expires_at timestamp(3) with time zone,
	mesh_key_id text collate "C",
	sealed_mesh text collate "C",
	constraint enrollments_pkey PRIMARY KEY (tenant_id, enrollment_id),
	constraint enrollments_outcome_check CHECK ((outcome = ANY (ARRAY['NEW'::text, 'REUSED'::text, 'MOVED'::text]))),
	constraint enrollments_state_check CHECK ((state = ANY (ARRAY['held'::text, 'admitted'::text])))
);
CREATE INDEX enrollments_by_expiry ON enrollments USING btree (expires_at);
CREATE INDEX enrollments_held ON enrollments USING btree (tenant_id, worker_id) WHERE (state = 'held'::text);
CREATE INDEX enrollments_held_by_age ON enrollments USING btree (created_at) WHERE (state = 'held'::text);
alter table enrollments alter column tenant_id set statistics 10;
alter table enrollments alter column enrollment_id set statistics 10;
alter table enrollments alter column key_id set statistics 10;
alter table enrollments alter column worker_id set statistics 10;
alter table enrollments alter column host_id set statistics 10;
alter table enrollments alter column machine_uid set statistics 10;
alter table enrollments alter column reply_key set statistics 0;
alter table enrollments alter column state set statistics 10;
alter table enrollments alter column outcome set statistics 10;
alter table enrollments alter column credential_id set statistics 10;
alter table enrollments alter column sealed set statistics 0;
alter table enrollments alter column created_at set statistics 10;
alter table enrollments alter column expires_at set statistics 10;
alter table enrollments alter column mesh_key_id set statistics 10;
alter table enrollments alter column sealed_mesh set statistics 0;

create table events (
	id bigint not null generated always as identity,
	tenant_id text collate "C" not null,
	at timestamp(3) with time zone not null default now(),
	kind text collate "C" not null,
	payload jsonb not null,
	constraint events_pkey PRIMARY KEY (id)
);
alter table events alter column id set statistics 10;
alter table events alter column tenant_id set statistics 10;
alter table events alter column at set statistics 10;
alter table events alter column kind set statistics 10;
alter table events alter column payload set statistics 0;

create table fleets (
	id text collate "C" not null,
	tenant_id text collate "C" not null,
	site_id text collate "C" not null,
	name text not null,
	created_at timestamp(3) with time zone not null,
	constraint fleets_pkey PRIMARY KEY (id),
	constraint fleets_site_id_name_key UNIQUE (site_id, name),
	constraint fleets_tenant_id_site_id_fkey FOREIGN KEY (tenant_id, site_id) REFERENCES sites(tenant_id, id)
);

create table fusions (
	id text collate "C" not null,
	tenant_id text collate "C" not null,
	host_id text collate "C" not null,
	worker_id text collate "C" not null,
	provider text collate "C" not null,
	step text collate "C" not null,
	challenge text collate "C" not null,
	environment_name text,
	environment_id bigint,
	engine_id text collate "C",
	command_id text collate "C",
	requested_by text not null,
	started_at timestamp(3) with time zone not null,
	deadline_at timestamp(3) with time zone not null,
	fused_at timestamp(3) with time zone,
	ended_at timestamp(3) with time zone,
	outcome text collate "C",
	failure_source text collate "C",
	failure_message text,
	due_at timestamp(3) with time zone,
	lease_until timestamp(3) with time zone,
	attempts integer not null,
	last_error text,
	constraint fusions_pkey PRIMARY KEY (id),
	constraint fusions_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants(id),
	constraint fusions_check CHECK (((outcome IS NULL) = (ended_at IS NULL))),
	constraint fusions_check1 CHECK (((outcome IS NULL) = (step = ANY (ARRAY['PROVE'::text, 'GRANT'::text, 'REGISTER'::text, 'DEPLOY'::text, 'CHECK_IN'::text, 'CONNECT'::text, 'FUSED'::text])))),
	constraint fusions_failure_source_check CHECK ((failure_source = ANY (ARRAY['docker_error'::text, 'portainer_error'::text, 'watchdog_timeout'::text]))),
	constraint fusions_outcome_check CHECK ((outcome = ANY (ARRAY['FAILED'::text, 'CANCELLED'::text, 'UNFUSED'::text, 'ENGINE_CHANGED'::text, 'HOST_GONE'::text]))),
	constraint fusions_provider_check CHECK ((provider = ANY (ARRAY['DOCKER'::text, 'PORTAINER'::text]))),
	constraint fusions_step_check CHECK ((step = ANY (ARRAY['PROVE'::text, 'GRANT'::text, 'REGISTER'::text, 'DEPLOY'::text, 'CHECK_IN'::text, 'CONNECT'::text, 'FUSED'::text, 'REMOVE_AGENT'::text, 'REMOVE_ENVIRONMENT'::text, 'ENDED'::text])))
);
CREATE INDEX fusions_by_host ON fusions USING btree (tenant_id, host_id, id);
CREATE INDEX fusions_command ON fusions USING btree (command_id) WHERE (command_id IS NOT NULL);
CREATE INDEX fusions_deadline ON fusions USING btree (deadline_at) WHERE ((outcome IS NULL) AND (fused_at IS NULL));
CREATE INDEX fusions_due ON fusions USING btree (due_at) WHERE (due_at IS NOT NULL);
CREATE INDEX fusions_ended ON fusions USING btree (ended_at) WHERE (step = 'ENDED'::text);
CREATE UNIQUE INDEX fusions_live ON fusions USING btree (tenant_id, host_id) WHERE (outcome IS NULL);

create table heartbeats (
	tenant_id text collate "C" not null,
	worker_id text collate "C" not null,
	at timestamp(3) with time zone not null,
	boot_id text collate "C",
	sequence bigint,
	load1 double precision,
	memory_used_bytes double precision,
	uptime_seconds double precision,
	constraint heartbeats_pkey PRIMARY KEY (tenant_id, worker_id),
	constraint heartbeats_tenant_id_worker_id_fkey FOREIGN KEY (tenant_id, worker_id) REFERENCES workers(tenant_id, id) ON DELETE CASCADE
) with (fillfactor=70);

create table host_events (
	id bigint not null generated always as identity,
	tenant_id text collate "C" not null,
	host_id text collate "C" not null,
	at timestamp(3) with time zone not null,
	type text not null,
	action text not null,
	subject text not null,
	name text,
	attributes jsonb not null,
	constraint host_events_pkey PRIMARY KEY (id),
	constraint host_events_host_id_fkey FOREIGN KEY (host_id) REFERENCES hosts(id) ON DELETE CASCADE
);
CREATE INDEX host_events_by_host ON host_events USING btree (tenant_id, host_id, id);
CREATE INDEX host_events_by_time ON host_events USING btree (at);

create table hosts (
	id text collate "C" not null,
	tenant_id text collate "C" not null,
	name text not null,
	site_id text collate "C",
	worker_id text collate "C",
	state text collate "C" not null,
	last_known_state text collate "C" not null,
	mesh_address text,
	fuse_provider text collate "C",
	monitoring_since timestamp(3) with time zone,
	created_at timestamp(3) with time zone not null,
	constraint hosts_pkey PRIMARY KEY (id),
	constraint hosts_tenant_id_worker_id_key UNIQUE (tenant_id, worker_id),
	constraint hosts_check CHECK (((state = 'DEGRADED'::text) OR (state = last_known_state))),
	constraint hosts_fuse_provider_check CHECK ((fuse_provider = ANY (ARRAY['DOCKER'::text, 'PORTAINER'::text]))),
	constraint hosts_last_known_state_check CHECK ((last_known_state = ANY (ARRAY['PENDING'::text, 'MONITORING'::text, 'FUSING'::text, 'FUSED'::text]))),
	constraint hosts_state_check CHECK ((state = ANY (ARRAY['PENDING'::text, 'MONITORING'::text, 'FUSING'::text, 'FUSED'::text, 'DEGRADED'::text])))
);
CREATE INDEX hosts_by_name ON hosts USING btree (tenant_id, name);
CREATE INDEX hosts_by_site ON hosts USING btree (tenant_id, site_id, id);
CREATE INDEX hosts_by_state ON hosts USING btree (tenant_id, state, id);
CREATE INDEX hosts_by_tenant ON hosts USING btree (tenant_id, id);
alter table hosts alter column id set statistics 10;
alter table hosts alter column tenant_id set statistics 10;
alter table hosts alter column name set statistics 10;
alter table hosts alter column site_id set statistics 10;
alter table hosts alter column worker_id set statistics 10;
alter table hosts alter column state set statistics 10;
alter table hosts alter column last_known_state set statistics 10;
alter table hosts alter column mesh_address set statistics 10;
alter table hosts alter column fuse_provider set statistics 10;
alter table hosts alter column monitoring_since set statistics 10;
alter table hosts alter column created_at set statistics 10;

create table keys (
	id text collate "C" not null,
	tenant_id text collate "C" not null,
	kind text collate "C" not null,
	site_id text collate "C",
	fleet_id text collate "C",
	host_id text collate "C",
	name text not null,
	selector text collate "C",
	verifier text collate "C" not null,
	hint text collate "C" not null,
	version integer not null,
	active boolean not null,
	max_uses integer,
	uses bigint not null default 0,
	expires_at timestamp(3) with time zone,
	revoked_at timestamp(3) with time zone,
	grace_ends_at timestamp(3) with time zone,
	consumed_at timestamp(3) with time zone,
	last_used_at timestamp(3) with time zone,
	last_worker_id text collate "C",
	allowed_cidrs text[] not null default '{}'::text[],
	labels jsonb not null default '{}'::jsonb,
	created_at timestamp(3) with time zone not null,
	constraint keys_pkey PRIMARY KEY (id),
	constraint keys_selector_key UNIQUE (selector),
	constraint keys_fleet_id_fkey FOREIGN KEY (fleet_id) REFERENCES fleets(id),
	constraint keys_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants(id),
	constraint keys_tenant_id_site_id_fkey FOREIGN KEY (tenant_id, site_id) REFERENCES sites(tenant_id, id),
	constraint keys_check CHECK ((uses <= max_uses)),
	constraint keys_kind_check CHECK ((kind = ANY (ARRAY['site'::text, 'enroll'::text, 'host'::text, 'auto'::text]))),
	constraint keys_max_uses_check CHECK ((max_uses > 0)),
	constraint keys_version_check CHECK ((version > 0))
);
CREATE INDEX keys_by_expiry ON keys USING btree (expires_at) WHERE ((kind = 'enroll'::text) AND (revoked_at IS NULL));
CREATE INDEX keys_by_grace ON keys USING btree (grace_ends_at) WHERE (grace_ends_at IS NOT NULL);
CREATE INDEX keys_by_host ON keys USING btree (host_id) WHERE (host_id IS NOT NULL);
CREATE INDEX keys_by_tenant ON keys USING btree (tenant_id, kind, id);
CREATE UNIQUE INDEX keys_one_active_auto ON keys USING btree (tenant_id) WHERE ((kind = 'auto'::text) AND active);
CREATE UNIQUE INDEX keys_one_active_site_key ON keys USING btree (site_id) WHERE ((kind = 'site'::text) AND active);
CREATE UNIQUE INDEX keys_site_version ON keys USING btree (site_id, version) WHERE (kind = 'site'::text);

create table mesh_keys (
	id text collate "C" not null,
	tenant_id text collate "C" not null,
	host_id text collate "C",
	enrollment_id text collate "C" not null,
	remote_id text collate "C",
	expiration text collate "C" not null,
	state text collate "C" not null,
	created_at timestamp(3) with time zone not null,
	held_at timestamp(3) with time zone,
	attempts integer not null,
	next_attempt_at timestamp(3) with time zone not null,
	remote_created_at timestamp(3) with time zone,
	constraint mesh_keys_pkey PRIMARY KEY (id),
	constraint mesh_keys_expiration_key UNIQUE (expiration),
	constraint mesh_keys_host_id_fkey FOREIGN KEY (host_id) REFERENCES hosts(id) ON DELETE SET NULL,
	constraint mesh_keys_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants(id),
	constraint mesh_keys_state_check CHECK ((state = ANY (ARRAY['minting'::text, 'minted'::text, 'held'::text, 'ending'::text, 'ended'::text])))
);
CREATE INDEX mesh_keys_by_host ON mesh_keys USING btree (host_id);
CREATE INDEX mesh_keys_by_remote ON mesh_keys USING btree (tenant_id, remote_id);
CREATE INDEX mesh_keys_due ON mesh_keys USING btree (next_attempt_at) WHERE ((state = ANY (ARRAY['minting'::text, 'minted'::text, 'ending'::text])) OR (host_id IS NULL));
CREATE INDEX mesh_keys_ended ON mesh_keys USING btree (next_attempt_at) WHERE ((state = 'ended'::text) AND (host_id IS NOT NULL));

create table mesh_reports (
	tenant_id text collate "C" not null,
	worker_id text collate "C" not null,
	at timestamp(3) with time zone not null,
	state text not null,
	addresses text[] not null,
	node_name text,
	constraint mesh_reports_pkey PRIMARY KEY (tenant_id, worker_id),
	constraint mesh_reports_tenant_id_worker_id_fkey FOREIGN KEY (tenant_id, worker_id) REFERENCES workers(tenant_id, id) ON DELETE CASCADE
) with (fillfactor=70);

create table nonces (
	tenant_id text collate "C" not null,
	nonce text collate "C" not null,
	expires_at timestamp(3) with time zone not null,
	constraint nonces_pkey PRIMARY KEY (tenant_id, nonce)
);
CREATE INDEX nonces_by_expiry ON nonces USING btree (expires_at);

create table sites (
	id text collate "C" not null,
	tenant_id text collate "C" not null,
	code text collate "C" not null,
	name text not null,
	enrollment_policy text collate "C" not null,
	worker_name_pattern text,
	created_at timestamp(3) with time zone not null,
	constraint sites_pkey PRIMARY KEY (id),
	constraint sites_tenant_id_code_key UNIQUE (tenant_id, code),
	constraint sites_tenant_id_id_key UNIQUE (tenant_id, id),
	constraint sites_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants(id),
	constraint sites_enrollment_policy_check CHECK ((enrollment_policy = ANY (ARRAY['AUTO_APPROVE'::text, 'REQUIRE_APPROVAL'::text])))
);

create table stacks (
	id text collate "C" not null,
	tenant_id text collate "C" not null,
	host_id text collate "C" not null,
	name text collate "C" not null,
	revision integer not null,
	desired_sealed text collate "C" not null,
	services jsonb not null,
	variables text[] collate "C" not null,
	created_at timestamp(3) with time zone not null,
	updated_at timestamp(3) with time zone not null,
	updated_by text not null,
	command_id text collate "C" not null,
	outcome text collate "C",
	error text,
	constraint stacks_pkey PRIMARY KEY (id),
	constraint stacks_tenant_id_host_id_name_key UNIQUE (tenant_id, host_id, name),
	constraint stacks_host_id_fkey FOREIGN KEY (host_id) REFERENCES hosts(id) ON DELETE CASCADE,
	constraint stacks_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants(id),
	constraint stacks_outcome_check CHECK ((outcome = ANY (ARRAY['SUCCEEDED'::text, 'FAILED'::text, 'CANCELLED'::text, 'EXPIRED'::text])))
);
CREATE INDEX stacks_by_command ON stacks USING btree (command_id);

create table tenants (
	id text collate "C" not null,
	slug text collate "C" not null,
	name text not null,
	created_at timestamp(3) with time zone not null,
	worker_name_pattern text,
	constraint tenants_pkey PRIMARY KEY (id),
	constraint tenants_slug_key UNIQUE (slug)
);

create table vitals (
	tenant_id text collate "C" not null,
	worker_id text collate "C" not null,
	slot smallint not null,
	at timestamp(3) with time zone not null,
	boot_id text collate "C",
	load1 double precision,
	memory_used_bytes double precision,
	uptime_seconds double precision,
	constraint vitals_pkey PRIMARY KEY (tenant_id, worker_id, slot),
	constraint vitals_tenant_id_worker_id_fkey FOREIGN KEY (tenant_id, worker_id) REFERENCES workers(tenant_id, id) ON DELETE CASCADE,
	constraint vitals_slot_check CHECK (((slot >= 0) AND (slot <= 59)))
) with (fillfactor=70);

create table webhook_deliveries (
	id text collate "C" not null,
	tenant_id text collate "C" not null,
	webhook_id text collate "C" not null,
	type text collate "C" not null,
	data jsonb not null,
	state text collate "C" not null,
	attempts integer not null,
	created_at timestamp(3) with time zone not null,
	next_attempt_at timestamp(3) with time zone,
	finished_at timestamp(3) with time zone,
	last_status integer,
	last_error text,
	constraint webhook_deliveries_pkey PRIMARY KEY (id),
	constraint webhook_deliveries_tenant_id_webhook_id_fkey FOREIGN KEY (tenant_id, webhook_id) REFERENCES webhooks(tenant_id, id) ON DELETE CASCADE,
	constraint webhook_deliveries_check CHECK (((state = 'PENDING'::text) = (next_attempt_at IS NOT NULL))),
	constraint webhook_deliveries_check1 CHECK (((state = 'PENDING'::text) = (finished_at IS NULL))),
	constraint webhook_deliveries_state_check CHECK ((state = ANY (ARRAY['PENDING'::text, 'DELIVERED'::text, 'FAILED'::text]))),
	constraint webhook_deliveries_type_check CHECK ((type = ANY (ARRAY['alert.raised'::text, 'alert.test'::text])))
);
CREATE INDEX webhook_deliveries_by_webhook ON webhook_deliveries USING btree (tenant_id, webhook_id, id);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries USING btree (next_attempt_at) WHERE (state = 'PENDING'::text);
CREATE INDEX webhook_deliveries_finished ON webhook_deliveries USING btree (finished_at) WHERE (state <> 'PENDING'::text);
CREATE INDEX webhook_deliveries_pending ON webhook_deliveries USING btree (tenant_id, webhook_id) WHERE (state = 'PENDING'::text);

create table webhooks (
	id text collate "C" not null,
	tenant_id text collate "C" not null,
	url text not null,
	kinds text[] collate "C",
	description text,
	secret_sealed text collate "C" not null,
	created_at timestamp(3) with time zone not null,
	disabled_at timestamp(3) with time zone,
	last_delivered_at timestamp(3) with time zone,
	last_error text,
	constraint webhooks_pkey PRIMARY KEY (id),
	constraint webhooks_tenant_id_id_key UNIQUE (tenant_id, id),
	constraint webhooks_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants(id)
);

create table workers (
	tenant_id text collate "C" not null,
	id text collate "C" not null,
	name text not null,
	hostname text,
	machine_uid text collate "C",
	site_id text collate "C",
	fleet_id text collate "C",
	key_id text collate "C",
	key_version integer,
	method text collate "C" not null,
	auto_enrolled boolean not null,
	state text collate "C" not null,
	pending_reason text collate "C",
	contested_uid text collate "C",
	contested_worker_id text collate "C",
	evidence jsonb,
	labels jsonb not null,
	version text,
	platform text,
	created_at timestamp(3) with time zone not null,
	enrolled_at timestamp(3) with time zone not null,
	constraint workers_pkey PRIMARY KEY (tenant_id, id),
	constraint workers_tenant_id_machine_uid_key UNIQUE (tenant_id, machine_uid),
	constraint workers_fleet_id_fkey FOREIGN KEY (fleet_id) REFERENCES fleets(id),
	constraint workers_check CHECK (((state = 'PENDING'::text) = (pending_reason IS NOT NULL))),
	constraint workers_pending_reason_check CHECK ((pending_reason = ANY (ARRAY['COLLISION'::text, 'APPROVAL_REQUIRED'::text]))),
	constraint workers_state_check CHECK ((state = ANY (ARRAY['ACTIVE'::text, 'PENDING'::text, 'REVOKED'::text])))
);
CREATE INDEX workers_by_age ON workers USING btree (tenant_id, created_at, id);
CREATE INDEX workers_by_key ON workers USING btree (tenant_id, key_id);
CREATE INDEX workers_by_site ON workers USING btree (tenant_id, site_id, created_at, id);
CREATE INDEX workers_contested ON workers USING btree (tenant_id, contested_uid) WHERE (contested_uid IS NOT NULL);
alter table workers alter column tenant_id set statistics 10;
alter table workers alter column id set statistics 10;
alter table workers alter column name set statistics 10;
alter table workers alter column hostname set statistics 10;
alter table workers alter column machine_uid set statistics 10;
alter table workers alter column site_id set statistics 10;
alter table workers alter column fleet_id set statistics 10;
alter table workers alter column key_id set statistics 10;
alter table workers alter column key_version set statistics 10;
alter table workers alter column method set statistics 10;
alter table workers alter column auto_enrolled set statistics 10;
alter table workers alter column state set statistics 10;
alter table workers alter column pending_reason set statistics 10;
alter table workers alter column contested_uid set statistics 10;
alter table workers alter column contested_worker_id set statistics 10;
alter table workers alter column evidence set statistics 0;
alter table workers alter column labels set statistics 0;
alter table workers alter column version set statistics 10;
alter table workers alter column platform set statistics 10;
alter table workers alter column created_at set statistics 10;
alter table workers alter column enrolled_at set statistics 10;

CREATE OR REPLACE FUNCTION public.muster_exactly(written bigint, expected bigint, place text)
 RETURNS integer
 LANGUAGE plpgsql
AS $function$
begin if written <> expected then raise exception 'Wrote % rows of % and not %: another transaction was first', written, place, expected using errcode = 'MU001'; end if; return written; end
$function$
;

CREATE OR REPLACE FUNCTION public.muster_id_kept()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin raise exception 'The id of a row of % never changes: other rows name it', tg_table_name using errcode = 'foreign_key_violation'; end
$function$
;

CREATE OR REPLACE FUNCTION public.muster_kept()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin raise exception 'A row of % is never deleted: workers and hosts name it', tg_table_name using errcode = 'foreign_key_violation'; end
$function$
;

CREATE OR REPLACE FUNCTION public.muster_site_known()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin if not exists (select from sites where tenant_id = new.tenant_id and id = new.site_id) then raise exception 'A row of % names a site that is not there: %', tg_table_name, new.site_id using errcode = 'foreign_key_violation'; end if; return null; end
$function$
;

CREATE OR REPLACE FUNCTION public.muster_sites_known()
 RETURNS trigger
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
AS $function$
begin if exists (select from (select distinct tenant_id, site_id from added where site_id is not null) a where not exists (select from sites s where s.tenant_id = a.tenant_id and s.id = a.site_id)) then raise exception 'A row of % names a site that is not there', tg_table_name using errcode = 'foreign_key_violation'; end if; return null; end
$function$
;

CREATE OR REPLACE FUNCTION public.muster_worker_gone()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin if current_setting('transaction_isolation') <> 'read committed' then raise exception 'A worker is deleted in a transaction that is READ COMMITTED: another one does not see the host that it has just got' using errcode = 'invalid_transaction_state'; end if; delete from hosts where tenant_id = old.tenant_id and worker_id = old.id; delete from credentials where tenant_id = old.tenant_id and worker_id = old.id; return null; end
$function$
;

CREATE OR REPLACE FUNCTION public.muster_worker_known()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin perform from workers where tenant_id = new.tenant_id and id = new.worker_id for key share; if not found then raise exception 'A row of % names a worker that is not there: %', tg_table_name, new.worker_id using errcode = 'foreign_key_violation'; end if; return null; end
$function$
;

CREATE OR REPLACE FUNCTION public.muster_workers_known()
 RETURNS trigger
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
AS $function$
declare wanted bigint; found_own bigint; found_all bigint; begin select count(a.worker_id), count(w.id), count(*) filter (where w.xmin = pg_current_xact_id()::xid) into wanted, found_all, found_own from added a left join workers w on w.tenant_id = a.tenant_id and w.id = a.worker_id; if found_own <> wanted then select count(*) into found_all from (select from added a join workers w on w.tenant_id = a.tenant_id and w.id = a.worker_id for key share of w) l; end if; if found_all <> wanted then raise exception 'A row of % names a worker that is not there', tg_table_name using errcode = 'foreign_key_violation'; end if; return null; end
$function$
;

CREATE TRIGGER credentials_worker_known AFTER INSERT ON credentials REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION muster_workers_known();

CREATE TRIGGER credentials_worker_moved AFTER UPDATE OF tenant_id, worker_id ON credentials FOR EACH ROW WHEN (((new.worker_id IS NOT NULL) AND ((new.tenant_id IS DISTINCT FROM old.tenant_id) OR (new.worker_id IS DISTINCT FROM old.worker_id)))) EXECUTE FUNCTION muster_worker_known();

CREATE TRIGGER hosts_worker_known AFTER INSERT ON hosts REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION muster_workers_known();

CREATE TRIGGER hosts_worker_moved AFTER UPDATE OF tenant_id, worker_id ON hosts FOR EACH ROW WHEN (((new.worker_id IS NOT NULL) AND ((new.tenant_id IS DISTINCT FROM old.tenant_id) OR (new.worker_id IS DISTINCT FROM old.worker_id)))) EXECUTE FUNCTION muster_worker_known();

CREATE TRIGGER sites_ids_kept BEFORE UPDATE OF tenant_id, id ON sites FOR EACH ROW WHEN (((new.tenant_id IS DISTINCT FROM old.tenant_id) OR (new.id IS DISTINCT FROM old.id))) EXECUTE FUNCTION muster_id_kept();

CREATE TRIGGER sites_kept BEFORE DELETE ON sites FOR EACH ROW EXECUTE FUNCTION muster_kept();

CREATE TRIGGER tenants_kept BEFORE DELETE ON tenants FOR EACH ROW EXECUTE FUNCTION muster_kept();

CREATE TRIGGER workers_gone AFTER DELETE ON workers FOR EACH ROW EXECUTE FUNCTION muster_worker_gone();

CREATE TRIGGER workers_ids_kept BEFORE UPDATE OF tenant_id, id ON workers FOR EACH ROW WHEN (((new.tenant_id IS DISTINCT FROM old.tenant_id) OR (new.id IS DISTINCT FROM old.id))) EXECUTE FUNCTION muster_id_kept();

CREATE TRIGGER workers_site_known AFTER INSERT ON workers REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION muster_sites_known();

CREATE TRIGGER workers_site_moved AFTER UPDATE OF site_id ON workers FOR EACH ROW WHEN (((new.site_id IS NOT NULL) AND (new.site_id IS DISTINCT FROM old.site_id))) EXECUTE FUNCTION muster_site_known();
