-- What several servers may notice at once, or one server again and again, is one alert: of one topic there is one.
alter table alerts add column topic text collate "C";
create unique index alerts_one_a_topic on alerts (tenant_id, topic) where topic is not null;

-- What ends soon is looked for every few seconds.
create index keys_by_expiry on keys (expires_at) where kind = 'enroll' and revoked_at is null;
create index keys_by_grace on keys (grace_ends_at) where grace_ends_at is not null;
