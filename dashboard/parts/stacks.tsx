/** The stacks of a host: their services as they run, and for admins of a fused host what changes them. */
import { useState } from "preact/hooks";
import { send } from "../api/client.ts";
import type { ResultOf } from "../api/graphql.ts";
import { useAction, useCalm, useEvery, useLive, useQuery } from "../api/hooks.ts";
import { may } from "../api/session.ts";
import { whole } from "../lib/figures.ts";
import { stackStates } from "../lib/words.ts";
import { commandsSubscription, hostEventSubscription } from "../operations/containers.ts";
import { composeQuery, stacksQuery } from "../operations/stacks.ts";
import { Ago, Empty, Panel, Problem } from "./bits.tsx";
import { Deploy, Progress, Redeploy, RemoveStack, Scale } from "./stack-forms.tsx";
import { TableHead } from "./table.tsx";

export type Stack = NonNullable<ResultOf<typeof stacksQuery>["host"]>["stacks"][number];
type Service = Stack["services"][number];
type Asked =
	| { readonly what: "deploy"; readonly stack?: Stack; readonly compose: string }
	| { readonly what: "redeploy" | "remove"; readonly stack: Stack }
	| { readonly what: "scale"; readonly stack: Stack; readonly service: Service }
	| { readonly what: "progress"; readonly title: string; readonly commandId: string };

/** The panel; nothing on a host that is not fused and has none. */
export function Stacks({ hostId, isFused }: { readonly hostId: string; readonly isFused: boolean }) {
	const { data, error, reload } = useQuery(stacksQuery, { id: hostId });
	const soon = useCalm(reload);
	useLive(commandsSubscription, { hostId }, soon);
	useLive(hostEventSubscription, { ids: [hostId] }, soon);
	// What runs is known from the worker's reports, which have no event.
	useEvery(4_000, reload);
	const [asked, ask] = useState<Asked>();
	const stacks = data?.host?.stacks ?? [];
	if (data === undefined) return isFused ? <Problem error={error} /> : null;
	if (!isFused && stacks.length === 0) return null;
	const mayChange = isFused && may("admin");
	return (
		<Panel
			title="Stacks"
			class="stacks"
			note={
				<>
					{whole(stacks.length)}
					{isFused ? "" : " · seen, not managed: fuse the host to change them"}
				</>
			}
		>
			{mayChange ? (
				<button type="button" class="corner" onClick={() => ask({ what: "deploy", compose: "" })}>
					Deploy a stack
				</button>
			) : null}
			<Problem error={error} />
			{stacks.length === 0 ? (
				<Empty title="No stacks yet">
					{mayChange
						? "Deploy the first one: give a compose file, and its services run on this host."
						: "An admin deploys the first one from a compose file."}
				</Empty>
			) : null}
			{stacks.map((stack) => (
				<StackCard key={stack.id} stack={stack} mayChange={mayChange} ask={ask} />
			))}
			{asked === undefined ? null : <Dialogs hostId={hostId} asked={asked} ask={ask} changed={soon} />}
		</Panel>
	);
}

function StackCard({
	stack,
	mayChange,
	ask,
}: {
	readonly stack: Stack;
	readonly mayChange: boolean;
	readonly ask: (asked: Asked) => void;
}) {
	const { name, state, services, lastCommand } = stack;
	const action = useAction();
	const edit = () =>
		void action.run(async () => ask({ what: "deploy", stack, compose: (await send(composeQuery, { id: stack.id })).stack?.compose ?? "" }));
	const act = (label: string, run: () => void) => (
		<button type="button" class="link" aria-label={`${label} ${name}`} onClick={run}>
			{label}
		</button>
	);
	return (
		<section class="stack" aria-label={name}>
			<header>
				<h3>{name}</h3>
				<span class={`stack-state ${state.toLowerCase()}`} title={stackStates[state].means}>
					{stackStates[state].label}
				</span>
				<span class="quiet">
					revision {whole(stack.revision)} by {stack.updatedBy} <Ago at={stack.updatedAt} />
				</span>
				{mayChange ? (
					<span class="acts">
						{state === "CHANGING" && lastCommand !== null
							? act("Progress", () => ask({ what: "progress", title: `${name}: what is done`, commandId: lastCommand.id }))
							: null}
						{act("Edit", edit)}
						{act("Redeploy", () => ask({ what: "redeploy", stack }))}
						{act("Remove", () => ask({ what: "remove", stack }))}
					</span>
				) : null}
			</header>
			<Problem error={action.error} />
			{stack.error === null ? null : <p class="failure">{stack.error}</p>}
			<div class="scroll">
				<table class="services">
					<TableHead titles={["Service", "Image", "Running"]} hasActions />
					<tbody>
						{services.map((service) => (
							<tr key={service.name}>
								<td>{service.name}</td>
								<td class="id">{service.image}</td>
								<td class="number">
									<span class={`dot ${service.running >= service.replicas ? "up" : "down"}`} aria-hidden="true" />
									{whole(service.running)} of {whole(service.replicas)}
								</td>
								<td class="acts">
									{mayChange ? (
										<button
											type="button"
											class="link"
											aria-label={`Scale ${service.name} of ${name}`}
											onClick={() => ask({ what: "scale", stack, service })}
										>
											Scale
										</button>
									) : null}
								</td>
							</tr>
						))}
					</tbody>
				</table>
			</div>
		</section>
	);
}

function Dialogs({
	hostId,
	asked,
	ask,
	changed,
}: {
	readonly hostId: string;
	readonly asked: Asked;
	readonly ask: (asked: Asked | undefined) => void;
	readonly changed: () => void;
}) {
	const close = () => ask(undefined);
	const started = (title: string) => (commandId: string) => {
		changed();
		ask({ what: "progress", title, commandId });
	};
	switch (asked.what) {
		case "deploy":
			return <Deploy hostId={hostId} former={asked} started={(name, id) => started(`Deploying ${name}`)(id)} close={close} />;
		case "redeploy":
			return <Redeploy hostId={hostId} name={asked.stack.name} started={started(`Redeploying ${asked.stack.name}`)} close={close} />;
		case "scale":
			return (
				<Scale
					hostId={hostId}
					name={asked.stack.name}
					service={asked.service}
					started={started(`Scaling ${asked.stack.name}`)}
					close={close}
				/>
			);
		case "remove":
			return <RemoveStack hostId={hostId} name={asked.stack.name} started={started(`Removing ${asked.stack.name}`)} close={close} />;
		case "progress":
			return <Progress title={asked.title} commandId={asked.commandId} close={close} />;
	}
}
