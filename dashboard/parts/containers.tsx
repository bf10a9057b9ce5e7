/** What runs on a host: containers with what they use, and what may be done to them. */
import { useState } from "preact/hooks";
import { send } from "../api/client.ts";
import type { ResultOf } from "../api/graphql.ts";
import { useAction, useCalm, useEvery, useLive, useQuery } from "../api/hooks.ts";
import { may } from "../api/session.ts";
import { bytes, shortId, whole } from "../lib/figures.ts";
import {
	commandsSubscription,
	containersQuery,
	hostEventSubscription,
	removeMutation,
	restartMutation,
	startMutation,
	stopMutation,
} from "../operations/containers.ts";
import { Ago, Empty, Panel, Problem } from "./bits.tsx";
import { Confirm } from "./dialog.tsx";
import { Exec, Logs } from "./output.tsx";
import { Sparkline } from "./sparkline.tsx";
import { TableHead } from "./table.tsx";

type Found = NonNullable<ResultOf<typeof containersQuery>["host"]>;
type Container = Found["containers"][number];
type Change = "start" | "stop" | "restart";

/** The panel; empty when the host has no worker yet. */
export function Containers({ hostId, isFused }: { readonly hostId: string; readonly isFused: boolean }) {
	const { data, error, reload } = useQuery(containersQuery, { id: hostId });
	const soon = useCalm(reload);
	useLive(hostEventSubscription, { ids: [hostId] }, soon);
	useLive(commandsSubscription, { hostId }, soon);
	// Events outrun the worker's list of what runs, and figures have no events.
	useEvery(4_000, reload);
	const [open, setOpen] = useState<{ readonly what: "logs" | "exec" | "remove"; readonly name: string }>();
	const action = useAction();
	const close = () => setOpen(undefined);
	const engine = data?.host?.engine;
	if (data === undefined || engine == null) return <Problem error={error} />;
	const containers = data.host?.containers ?? [];
	return (
		<Panel
			title="Containers"
			note={
				<>
					{whole(containers.length)} · {engine.version === null ? "no engine" : `Docker ${engine.version}`} · as of{" "}
					<Ago at={engine.reportedAt} />
					{isFused || containers.length === 0 ? "" : " · seen, not managed: fuse the host to change them"}
				</>
			}
		>
			<Problem error={error ?? action.error} />
			{engine.id === null ? <Empty title="There is no Docker Engine here">{engine.reason}</Empty> : null}
			{engine.id !== null && containers.length === 0 ? <Empty title="Nothing runs here" /> : null}
			{containers.length === 0 ? null : (
				<div class="scroll">
					<table class="containers">
						<TableHead titles={["Name", "State", "Image", "CPU", "Memory", "Ports"]} hasActions />
						<tbody>
							{containers.map((container) => (
								<Line
									key={container.id}
									container={container}
									isFused={isFused}
									busy={action.busy}
									open={(what) => setOpen({ what, name: container.name })}
									change={(what) => void action.run(() => change(what, hostId, container.name)).then(soon)}
								/>
							))}
						</tbody>
					</table>
				</div>
			)}
			{open?.what === "logs" ? <Logs hostId={hostId} container={open.name} close={close} /> : null}
			{open?.what === "exec" ? <Exec hostId={hostId} container={open.name} close={close} /> : null}
			{open?.what === "remove" ? (
				<Confirm
					title={`Remove ${open.name}?`}
					action="Remove"
					danger
					close={close}
					work={() => send(removeMutation, { input: { hostId, container: open.name, force: true } })}
					done={soon}
				>
					The container is stopped and removed. Its named volumes stay.
				</Confirm>
			) : null}
		</Panel>
	);
}

function change(what: Change, hostId: string, container: string): Promise<unknown> {
	const input = { hostId, container };
	if (what === "start") return send(startMutation, { input });
	return what === "stop" ? send(stopMutation, { input }) : send(restartMutation, { input });
}

function Line({
	container,
	isFused,
	busy,
	open,
	change: act,
}: {
	readonly container: Container;
	readonly isFused: boolean;
	readonly busy: boolean;
	readonly open: (what: "logs" | "exec" | "remove") => void;
	readonly change: (what: Change) => void;
}) {
	const { name, metrics, state } = container;
	const now = metrics.at(-1);
	const isRunning = state === "running";
	const button = (label: string, run: () => void) => (
		<button type="button" class="link" disabled={busy} aria-label={`${label} ${name}`} onClick={run}>
			{label}
		</button>
	);
	return (
		<tr>
			<td>
				<b class="name">{name}</b>
			</td>
			<td title={container.status}>
				<span class={`dot ${isRunning ? "up" : "down"}`} aria-hidden="true" />
				{state}
				<br />
				<small class="quiet">{container.status}</small>
			</td>
			<td class="id" title={container.image}>
				{shortId(container.image)}
			</td>
			<td class="figure">
				{now === undefined ? <span class="quiet">–</span> : now.cpuCores.toFixed(2)}
				{metrics.length < 2 ? null : <Sparkline values={metrics.map(({ cpuCores }) => cpuCores)} label={`CPU of ${name}, the last hour`} />}
			</td>
			<td class="figure">
				{now === undefined ? <span class="quiet">–</span> : bytes(now.memoryBytes)}
				{metrics.length < 2 ? null : (
					<Sparkline values={metrics.map(({ memoryBytes }) => memoryBytes)} label={`Memory of ${name}, the last hour`} />
				)}
			</td>
			<td class="id">{container.ports.join(" ")}</td>
			<td class="acts">
				{may("operator") ? button("Logs", () => open("logs")) : null}
				{may("admin") && isRunning ? button("Run", () => open("exec")) : null}
				{may("admin") && isFused ? (
					<>
						{isRunning ? button("Stop", () => act("stop")) : button("Start", () => act("start"))}
						{isRunning ? button("Restart", () => act("restart")) : null}
						{button("Remove", () => open("remove"))}
					</>
				) : null}
			</td>
		</tr>
	);
}
