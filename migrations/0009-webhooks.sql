-- Where a tenant wants its alerts sent. The secret that signs them is sealed under the master key.
create table webhooks (
	id text collate "C" primary key,
	tenant_id text collate "C" not null references tenants (id),
	url text not null,
	-- Null: alerts of every kind.
	kinds text[] collate "C",
	description text,
	secret_sealed text collate "C" not null,
	created_at timestamptz(3) not null,
	disabled_at timestamptz(3),
	last_delivered_at timestamptz(3),
	last_error text,
	unique (tenant_id, id)
);

-- What is on its way to a webhook: written in the transaction that raises the alert. While an attempt is under way, next_attempt_at is the
-- end of its lease and attempts is its number, which whoever records it must still find here.
create table webhook_deliveries (
	id text collate "C" primary key,
	tenant_id text collate "C" not null,
	webhook_id text collate "C" not null,
	type text collate "C" not null check (type in ('alert.raised', 'alert.test')),
	data jsonb not null,
	state text collate "C" not null check (state in ('PENDING', 'DELIVERED', 'FAILED')),
	attempts integer not null,
	created_at timestamptz(3) not null,
	next_attempt_at timestamptz(3),
	finished_at timestamptz(3),
	last_status integer,
	last_error text,
	check ((state = 'PENDING') = (next_attempt_at is not null)),
	check ((state = 'PENDING') = (finished_at is null)),
	foreign key (tenant_id, webhook_id) references webhooks (tenant_id, id) on delete cascade
);
create index webhook_deliveries_due on webhook_deliveries (next_attempt_at) where state = 'PENDING';
create index webhook_deliveries_pending on webhook_deliveries (tenant_id, webhook_id) where state = 'PENDING';
create index webhook_deliveries_by_webhook on webhook_deliveries (tenant_id, webhook_id, id);
create index webhook_deliveries_finished on webhook_deliveries (finished_at) where state <> 'PENDING';
