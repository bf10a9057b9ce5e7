-- What several servers may notice at once, or one server again and again, is one alert: of one topic there is one.
alter table alerts add column topic text collate "C";
create unique index alerts_one_a_topic on alerts (tenant_id, topic) where topic is not null;
