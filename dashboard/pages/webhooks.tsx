import { useState } from "preact/hooks";
import { send } from "../api/client.ts";
import type { ResultOf } from "../api/graphql.ts";
import { useAction, useCalm, useEvery, useLive, useQuery } from "../api/hooks.ts";
import { may } from "../api/session.ts";
import { whole } from "../lib/figures.ts";
import { deliveryStates } from "../lib/words.ts";
import { alertSubscription } from "../operations/alerts.ts";
import { deleteWebhookMutation, testWebhookMutation, webhooksQuery } from "../operations/webhooks.ts";
import { Ago, Empty, Head, Panel, Problem } from "../parts/bits.tsx";
import { Confirm } from "../parts/dialog.tsx";
import { TableHead } from "../parts/table.tsx";
import { NewWebhook } from "../parts/webhook-form.tsx";

type Webhook = ResultOf<typeof webhooksQuery>["webhooks"]["nodes"][number];
type Delivery = Webhook["recentDeliveries"][number];
const deliveriesShown = 5;

/** Where alerts are sent, and what came of it. */
export function Webhooks() {
	const { data, error, reload } = useQuery(webhooksQuery, {});
	const [isNew, setNew] = useState(false);
	const soon = useCalm(reload);
	useLive(alertSubscription, {}, soon);
	const list = data?.webhooks.nodes ?? [];
	// A delivery has no event: what is on its way is looked at often, the rest seldom.
	useEvery(list.some(({ pendingCount }) => pendingCount > 0) ? 2_000 : 15_000, reload);
	return (
		<>
			<Head title="Webhooks" note={data === undefined ? undefined : whole(data.webhooks.totalCount)}>
				{may("admin") ? (
					<button type="button" class="primary" onClick={() => setNew(true)}>
						New webhook
					</button>
				) : null}
			</Head>
			<Problem error={error} />
			{data?.webhooks.totalCount === 0 ? (
				<Empty title="Alerts are sent nowhere yet">
					{may("admin")
						? "Make a webhook: lost hosts, collisions and the other alerts are posted to its URL, signed, until they arrive."
						: "An admin makes the first webhook."}
				</Empty>
			) : null}
			{list.map((webhook) => (
				<Card key={webhook.id} webhook={webhook} changed={soon} />
			))}
			{isNew ? (
				<NewWebhook
					close={() => {
						setNew(false);
						soon();
					}}
				/>
			) : null}
		</>
	);
}

function Card({ webhook, changed }: { readonly webhook: Webhook; readonly changed: () => void }) {
	const [isAsked, ask] = useState(false);
	const [isWhole, showAll] = useState(false);
	const action = useAction();
	const { url, description, kinds, recentDeliveries } = webhook;
	const shown = isWhole ? recentDeliveries : recentDeliveries.slice(0, deliveriesShown);
	return (
		<Panel title={url} class="webhook" note={description}>
			<p class="quiet">
				<State webhook={webhook} /> · {kinds === null ? "every alert" : kinds.join(", ")} ·{" "}
				{webhook.lastDeliveredAt === null ? (
					"nothing delivered yet"
				) : (
					<>
						last delivered <Ago at={webhook.lastDeliveredAt} />
					</>
				)}
			</p>
			{may("admin") ? (
				<div class="buttons">
					<button
						type="button"
						disabled={action.busy}
						aria-label={`Send a test to ${url}`}
						onClick={() => void action.run(() => send(testWebhookMutation, { id: webhook.id })).then(changed)}
					>
						Send a test
					</button>
					<button type="button" class="danger" aria-label={`Delete ${url}`} onClick={() => ask(true)}>
						Delete
					</button>
				</div>
			) : null}
			<Problem error={action.error} />
			{webhook.lastError === null || webhook.disabledAt !== null ? null : <p class="failure">{webhook.lastError}</p>}
			{recentDeliveries.length === 0 ? <p class="quiet">Nothing was sent there in the last two weeks.</p> : <Deliveries list={shown} />}
			{shown.length < recentDeliveries.length ? (
				<button type="button" class="link" onClick={() => showAll(true)}>
					Show {whole(recentDeliveries.length - shown.length)} more
				</button>
			) : null}
			{isAsked ? (
				<Confirm
					title="Delete this webhook?"
					action="Delete"
					danger
					close={() => ask(false)}
					work={() => send(deleteWebhookMutation, { id: webhook.id })}
					done={changed}
				>
					Nothing is sent to {url} any more; what waits for it is dropped.
				</Confirm>
			) : null}
		</Panel>
	);
}

function State({ webhook: { disabledAt, failingCount, pendingCount } }: { readonly webhook: Webhook }) {
	if (disabledAt !== null) {
		return (
			<b class="bad">
				switched off <Ago at={disabledAt} />, since its receiver answered 410 Gone: to send there again, make it anew
			</b>
		);
	}
	if (failingCount > 0) return <b class="bad">{whole(failingCount)} failed and tried again</b>;
	return pendingCount > 0 ? <b>{whole(pendingCount)} to be sent</b> : <b class="ok">on</b>;
}

function Deliveries({ list }: { readonly list: readonly Delivery[] }) {
	return (
		<div class="scroll" tabIndex={0} role="group" aria-label="Deliveries">
			<table class="deliveries">
				<TableHead titles={["Sent", "What", "State", "Answer", "Attempts"]} />
				<tbody>
					{list.map(({ id, type, state, attempts, createdAt, nextAttemptAt, lastStatus, lastError }) => (
						<tr key={id}>
							<td>
								<Ago at={createdAt} />
							</td>
							<td>
								<code>{type}</code>
							</td>
							<td>
								<span class={`delivery ${state.toLowerCase()}`}>{deliveryStates[state]}</span>
								{state === "PENDING" && nextAttemptAt !== null ? (
									<small class="quiet">
										{" "}
										<Ago at={nextAttemptAt} />
									</small>
								) : null}
							</td>
							<td>
								{lastStatus} {lastError === null ? null : <span class="quiet">{lastError}</span>}
							</td>
							<td class="number">{whole(attempts)}</td>
						</tr>
					))}
				</tbody>
			</table>
		</div>
	);
}
