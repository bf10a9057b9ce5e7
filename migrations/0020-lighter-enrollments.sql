-- What every enrollment writes, made lighter. Ids of events rise with time: the oldest are the first, no index has to say so.
drop index events_by_time;
-- Tenants and sites are never deleted: that is said once here, and not asked again for each machine. A worker's tenant comes from the key that was proven, its
-- site has a foreign key over both; a host has those of its worker or of the site that an admin named.
create function muster_kept() returns trigger language plpgsql as $$
begin raise exception 'A row of % is never deleted: workers and hosts name it', tg_table_name using errcode = 'foreign_key_violation'; end
$$;
create trigger tenants_kept before delete on tenants for each row execute function muster_kept();
create trigger sites_kept before delete on sites for each row execute function muster_kept();
alter table workers drop constraint workers_tenant_id_fkey;
alter table hosts drop constraint hosts_tenant_id_fkey;
alter table hosts drop constraint hosts_tenant_id_site_id_fkey;
-- Fails a statement that wrote another number of rows than whoever sent it counted on, so that one which commits by itself is lost as a whole.
create function muster_exactly(written bigint, expected bigint, place text) returns int language plpgsql as $$
begin if written <> expected then raise exception 'Wrote % rows of % and not %: another transaction was first', written, place, expected using errcode = 'MU001'; end if; return written; end
$$;
