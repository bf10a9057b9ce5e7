-- One enrollment as one SQL function, for PostGraphile: the very rows of enroll.sql, with the same indexes and foreign keys. Nothing is
-- proven: the site's key is only looked up, so this does less than Muster does.
create schema bench;
-- Ids come in order, above all that pgbench makes, and their hexadecimal form has the selector's 12 digits.
create sequence bench.numbers start 200000000000000 cache 1;
create function bench.enroll(enrollment_id text, site_code text, name text, machine_uid text, platform text, version text) returns text
language plpgsql volatile as $$
#variable_conflict use_variable
declare
	number bigint := nextval('bench.numbers');
	padded text := lpad(number::text, 26, '0');
	worker text := 'wrk_' || padded;
	host text := 'host_' || padded;
	key record;
begin
	update public.keys k set uses = uses + 1, last_used_at = now(), last_worker_id = worker from public.sites s
		where s.code = site_code and k.site_id = s.id and k.kind = 'site' and k.active and (k.max_uses is null or k.uses < k.max_uses) and k.revoked_at is null
		returning k.id, k.tenant_id, k.site_id into key;
	if not found then raise exception 'refused'; end if;
	insert into public.workers (tenant_id, id, name, hostname, machine_uid, site_id, key_id, key_version, method, auto_enrolled, state, labels, version, platform, created_at, enrolled_at)
		values (key.tenant_id, worker, name, name, machine_uid, key.site_id, key.id, 1, 'SITE_KEY', false, 'ACTIVE', '{}', version, platform, now(), now());
	insert into public.hosts (id, tenant_id, name, site_id, worker_id, state, last_known_state, monitoring_since, created_at)
		values (host, key.tenant_id, name, key.site_id, worker, 'MONITORING', 'MONITORING', now(), now());
	insert into public.credentials (id, tenant_id, worker_id, name, selector, hash, hint, created_at)
		values ('cred_' || padded, key.tenant_id, worker, 'enrollment', to_hex(number), sha256(number::text::bytea), 'abcd', now());
	insert into public.enrollments (tenant_id, enrollment_id, key_id, worker_id, host_id, machine_uid, state, outcome, credential_id, created_at, expires_at)
		values (key.tenant_id, enrollment_id, key.id, worker, host, machine_uid, 'admitted', 'NEW', 'cred_' || padded, now(), now() + interval '10 minutes');
	insert into public.attempts (id, tenant_id, at, method, accepted, outcome, source_address, claimed_name, hostname, machine_uid, site_id, host_id, worker_id, key_id)
		values ('att_' || padded, key.tenant_id, now(), 'SITE_KEY', true, 'NEW', '127.0.0.1', name, name, machine_uid, key.site_id, host, worker, key.id);
	insert into public.audit (id, tenant_id, at, actor, action, subject, detail)
		values ('aud_' || padded, key.tenant_id, now(), 'source:127.0.0.1', 'enrollment.admitted', worker,
			jsonb_build_object('attemptId', 'att_' || padded, 'method', 'SITE_KEY', 'name', name, 'machineUid', machine_uid, 'outcome', 'NEW'));
	insert into public.events (tenant_id, kind, payload) values
		(key.tenant_id, 'host', jsonb_build_object('kind', 'host', 'host', jsonb_build_object('id', host, 'tenantId', key.tenant_id, 'name', name, 'siteId', key.site_id, 'workerId', worker, 'state', 'MONITORING', 'lastKnownState', 'MONITORING', 'createdAt', 1800000000000))),
		(key.tenant_id, 'attempt', jsonb_build_object('kind', 'attempt', 'attemptId', 'att_' || padded));
	perform pg_notify('muster_events', '');
	return worker;
end $$;
