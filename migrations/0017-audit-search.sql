-- The words of an audit line, each findable by its beginning, without an extension. ASCII alone tells what is a word, so that the database's locale does
-- not count. 500 characters are at most 2,000 bytes, fewer than one lexeme may have, so that no line can fail to be written.
create index audit_words on audit using gin (array_to_tsvector(string_to_array(btrim(regexp_replace(
	lower(left(action || ' ' || actor || ' ' || subject || ' ' || coalesce(detail::text, ''), 500) collate "C"),
	'[\x01-\x2f\x3a-\x60\x7b-\x7f]+', ' ', 'g')), ' ')));
