-- no-transaction: the audit is large, and every change writes to it meanwhile
-- Of an enrollment's line a name, a uid, an id and an address are one word each, found by its beginning: half as many words, and no regular expression. An
-- enrollment paid a tenth of its time for them. A server of before searches without an index until it is replaced.
drop index concurrently if exists audit_terms;
create index concurrently audit_terms on audit using gin ((case when action like 'enrollment.%'
	then array_to_tsvector(array_remove(string_to_array(lower(left(replace(action, '.', ' ') || ' ' || substr(actor, strpos(actor, ':') + 1) || ' ' || subject || ' '
		|| coalesce(detail ->> 'name', '') || ' ' || coalesce(detail ->> 'machineUid', '') || ' ' || replace(coalesce(detail ->> 'reason', ''), '_', ' '), 500)
		collate "C"), ' '), ''))
	else array_to_tsvector(string_to_array(btrim(regexp_replace(
		lower(left(action || ' ' || actor || ' ' || subject || ' ' || coalesce(detail::text, ''), 500) collate "C"),
		'[\x01-\x2f\x3a-\x60\x7b-\x7f]+', ' ', 'g')), ' ')) end));
alter index audit_terms alter column 1 set statistics 10;
drop index concurrently if exists audit_words;
