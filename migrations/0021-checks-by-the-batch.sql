-- The foreign keys of what an enrollment writes, asked once for each statement and not for each row. A row that this transaction did not write itself is locked
-- as a foreign key locks it. Deleting a worker takes its host and its credentials along, as before; sites are never deleted (sites_kept). The tables are locked first, in the order in which an enrollment writes them.
lock table workers, hosts, credentials, sites in access exclusive mode;
create function muster_workers_known() returns trigger language plpgsql set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare wanted bigint; found_own bigint; found_all bigint; begin select count(a.worker_id), count(w.id), count(*) filter (where w.xmin = pg_current_xact_id()::xid) into wanted, found_all, found_own from added a left join workers w on w.tenant_id = a.tenant_id and w.id = a.worker_id; if found_own <> wanted then select count(*) into found_all from (select from added a join workers w on w.tenant_id = a.tenant_id and w.id = a.worker_id for key share of w) l; end if; if found_all <> wanted then raise exception 'A row of % names a worker that is not there', tg_table_name using errcode = 'foreign_key_violation'; end if; return null; end
$$;
create function muster_worker_known() returns trigger language plpgsql as $$
begin perform from workers where tenant_id = new.tenant_id and id = new.worker_id for key share; if not found then raise exception 'A row of % names a worker that is not there: %', tg_table_name, new.worker_id using errcode = 'foreign_key_violation'; end if; return null; end
$$;
create function muster_sites_known() returns trigger language plpgsql set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
begin if exists (select from (select distinct tenant_id, site_id from added where site_id is not null) a where not exists (select from sites s where s.tenant_id = a.tenant_id and s.id = a.site_id)) then raise exception 'A row of % names a site that is not there', tg_table_name using errcode = 'foreign_key_violation'; end if; return null; end
$$;
create function muster_site_known() returns trigger language plpgsql as $$
begin if not exists (select from sites where tenant_id = new.tenant_id and id = new.site_id) then raise exception 'A row of % names a site that is not there: %', tg_table_name, new.site_id using errcode = 'foreign_key_violation'; end if; return null; end
$$;
create function muster_worker_gone() returns trigger language plpgsql as $$
begin if current_setting('transaction_isolation') <> 'read committed' then raise exception 'A worker is deleted in a transaction that is READ COMMITTED: another one does not see the host that it has just got' using errcode = 'invalid_transaction_state'; end if; delete from hosts where tenant_id = old.tenant_id and worker_id = old.id; delete from credentials where tenant_id = old.tenant_id and worker_id = old.id; return null; end
$$;
create function muster_id_kept() returns trigger language plpgsql as $$
begin raise exception 'The id of a row of % never changes: other rows name it', tg_table_name using errcode = 'foreign_key_violation'; end
$$;
create trigger workers_ids_kept before update of tenant_id, id on workers for each row
	when ((new.tenant_id, new.id) is distinct from (old.tenant_id, old.id)) execute function muster_id_kept();
create trigger sites_ids_kept before update of tenant_id, id on sites for each row
	when ((new.tenant_id, new.id) is distinct from (old.tenant_id, old.id)) execute function muster_id_kept();
create trigger workers_site_known after insert on workers referencing new table as added for each statement execute function muster_sites_known();
create trigger workers_site_moved after update of site_id on workers for each row
	when (new.site_id is not null and new.site_id is distinct from old.site_id) execute function muster_site_known();
create trigger hosts_worker_known after insert on hosts referencing new table as added for each statement execute function muster_workers_known();
create trigger hosts_worker_moved after update of tenant_id, worker_id on hosts for each row
	when (new.worker_id is not null and (new.tenant_id, new.worker_id) is distinct from (old.tenant_id, old.worker_id)) execute function muster_worker_known();
create trigger credentials_worker_known after insert on credentials referencing new table as added for each statement execute function muster_workers_known();
create trigger credentials_worker_moved after update of tenant_id, worker_id on credentials for each row
	when (new.worker_id is not null and (new.tenant_id, new.worker_id) is distinct from (old.tenant_id, old.worker_id)) execute function muster_worker_known();
create trigger workers_gone after delete on workers for each row execute function muster_worker_gone();
alter table workers drop constraint workers_tenant_id_site_id_fkey;
alter table hosts drop constraint hosts_tenant_id_worker_id_fkey;
alter table credentials drop constraint credentials_tenant_id_worker_id_fkey;
