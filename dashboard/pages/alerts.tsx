import { send } from "../api/client.ts";
import { useAction, useCalm, useLive, useQuery } from "../api/hooks.ts";
import { useMore } from "../api/more.tsx";
import { may } from "../api/session.ts";
import { whole } from "../lib/figures.ts";
import { route, setParams } from "../lib/route.ts";
import { acknowledgeMutation, alertSubscription, alertsQuery } from "../operations/alerts.ts";
import { AlertLine } from "../parts/alert-line.tsx";
import { Ago, Choice, Empty, Head, Problem } from "../parts/bits.tsx";

/** What somebody should look at. */
export function Alerts() {
	const isAll = route.value.params.show === "all";
	const open = isAll ? null : true;
	const { data, error, reload } = useQuery(alertsQuery, { open });
	const more = useMore(data?.alerts, async (after) => (await send(alertsQuery, { open, after })).alerts);
	const soon = useCalm(reload);
	const action = useAction();
	useLive(alertSubscription, {}, soon);
	return (
		<>
			<Head title="Alerts" note={data === undefined ? undefined : `${whole(data.alerts.totalCount)}${isAll ? "" : " open"}`}>
				<Choice
					label="Which"
					of={[
						["open", "Open"],
						["all", "All"],
					]}
					value={isAll ? "all" : "open"}
					choose={(show) => setParams({ show: show === "all" ? show : undefined })}
				/>
			</Head>
			<Problem error={error ?? action.error} />
			{data?.alerts.totalCount === 0 ? (
				<Empty title={isAll ? "There were none yet" : "Nothing asks for you"}>
					Lost hosts, collisions, lockouts and keys that end show up here, and go to webhooks.
				</Empty>
			) : null}
			<ul class="alerts full">
				{more.nodes.map((alert) => (
					<AlertLine key={alert.id} alert={alert}>
						{alert.acknowledgedAt !== null ? (
							<span class="quiet">
								acknowledged <Ago at={alert.acknowledgedAt} />
							</span>
						) : may("operator") ? (
							<button
								type="button"
								disabled={action.busy}
								aria-label={`Acknowledge: ${alert.message}`}
								onClick={() => void action.run(() => send(acknowledgeMutation, { id: alert.id })).then(reload)}
							>
								Acknowledge
							</button>
						) : null}
					</AlertLine>
				))}
			</ul>
			{more.button}
		</>
	);
}
