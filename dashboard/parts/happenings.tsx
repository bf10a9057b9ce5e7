/** What was asked of a host, and what happened on its engine. */
import { send } from "../api/client.ts";
import { useAction, useCalm, useLive, useQuery } from "../api/hooks.ts";
import { may } from "../api/session.ts";
import { shortId } from "../lib/figures.ts";
import { cancelMutation, commandsSubscription, happeningsQuery, hostEventSubscription } from "../operations/containers.ts";
import { Ago, Panel, Problem } from "./bits.tsx";

/** Two short lists; nothing while both are empty. */
export function Happenings({ hostId }: { readonly hostId: string }) {
	const { data, reload } = useQuery(happeningsQuery, { id: hostId });
	const soon = useCalm(reload);
	const action = useAction();
	useLive(hostEventSubscription, { ids: [hostId] }, soon);
	useLive(commandsSubscription, { hostId }, soon);
	const commands = data?.commands.nodes ?? [];
	const events = data?.host?.events.nodes ?? [];
	return (
		<>
			{commands.length === 0 ? null : (
				<Panel title="Commands" note="newest first">
					<Problem error={action.error} />
					<ul class="lines">
						{commands.map(({ id, kind, state, requestedAt, requestedBy, errorMessage }) => (
							<li key={id}>
								<p>
									<code>{kind}</code> <span class={`command ${state.toLowerCase()}`}>{state.toLowerCase()}</span>
									<span class="quiet"> by {requestedBy}</span>
									{errorMessage === null ? null : <span class="todo">{errorMessage}</span>}
								</p>
								<span>
									{may("operator") && (state === "QUEUED" || state === "RUNNING") ? (
										<button type="button" class="link" onClick={() => void action.run(() => send(cancelMutation, { id })).then(soon)}>
											cancel
										</button>
									) : null}{" "}
									<Ago at={requestedAt} />
								</span>
							</li>
						))}
					</ul>
				</Panel>
			)}
			{events.length === 0 ? null : (
				<Panel title="On its engine" note="newest first">
					<ul class="lines">
						{events.map(({ id, at, type, action: what, name, subject }) => (
							<li key={id}>
								<p>
									{type} <b>{shortId(name ?? subject.slice(0, 12))}</b> {what}
								</p>
								<Ago at={at} />
							</li>
						))}
					</ul>
				</Panel>
			)}
		</>
	);
}
