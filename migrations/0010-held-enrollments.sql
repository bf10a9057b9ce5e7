-- A held answer has no end of its own: it goes with its worker's hold.
create index enrollments_held on enrollments (tenant_id, worker_id) where state = 'held';
create index enrollments_held_by_age on enrollments (created_at) where state = 'held';
