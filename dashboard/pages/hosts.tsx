import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { ApiError, generation, send } from "../api/client.ts";
import type { ResultOf } from "../api/graphql.ts";
import { useCalm, useEvery, useLive, useQuery } from "../api/hooks.ts";
import { may } from "../api/session.ts";
import { whole } from "../lib/figures.ts";
import { href, route, setParams } from "../lib/route.ts";
import { now } from "../lib/time.ts";
import { pageRows, Rows } from "../lib/rows.ts";
import { type HostState, stateOrder, states } from "../lib/words.ts";
import { beatsSubscription, type hostRowFields, hostRowsQuery, siteCodesQuery } from "../operations/hosts.ts";
import { attemptSubscription, hostChangedSubscription } from "../operations/overview.ts";
import { Ago, Badge, Empty, Head, Problem } from "../parts/bits.tsx";
import { Virtual, type Window } from "../parts/virtual.tsx";

type Row = ResultOf<typeof hostRowFields>;
/** Events are shown a few times a second, however many come. */
const showMs = 200;

/** Every host, of any number, with its state as it changes. */
export function Hosts() {
	const { state = "", site = "", name = "" } = route.value.params;
	const known = stateOrder.find((one) => one === state);
	const [, draw] = useState(0);
	const [error, setError] = useState<ApiError>();
	const rows = useMemo(() => {
		const filter = { state: known ?? null, siteCode: site === "" ? null : site, name: name === "" ? null : name };
		const read = async (skip: number) => {
			const { hosts } = await send(hostRowsQuery, { ...filter, first: pageRows, skip });
			setError(undefined);
			return { total: hosts.totalCount, rows: hosts.nodes };
		};
		const failed = (fault: unknown) => setError(fault instanceof ApiError ? fault : new ApiError("ERROR", String(fault)));
		return new Rows<Row>(read, () => draw((count) => count + 1), failed);
	}, [known, site, name]);
	const view = useRef<Window>({ from: 0, to: 40 });
	const refresh = useCalm(() => rows.refresh(view.current.from, view.current.to));
	const since = generation.value;
	// After a lost connection everything is read anew
	useEffect(() => rows.refresh(view.current.from, view.current.to), [rows, since]);
	useEffect(() => () => rows.forget(), [rows]);
	useHostChanges(rows, view, known, refresh, () => draw((count) => count + 1));
	// A change does not tell whether its host is new, an attempt does; that one was deleted or revoked nobody tells.
	useLive(attemptSubscription, {}, ({ enrollmentAttempt }) => enrollmentAttempt.outcome === "NEW" && refresh());
	useEvery(20_000, refresh);
	const seen = useBeats(rows, view.current);
	// Drawn each second: heartbeats come far more often than anyone could read.
	now.value satisfies number;

	const { total } = rows;
	const isFiltered = known !== undefined || site !== "" || name !== "";
	return (
		<>
			<Head title="Hosts" note={total === undefined ? undefined : `${whole(total)}${isFiltered ? " found" : ""}`}>
				{may("admin") ? (
					<a class="button primary" href={href(["hosts", "add"])}>
						Add a host
					</a>
				) : null}
			</Head>
			<Filters state={known} site={site} name={name} />
			<Problem error={error} />
			{total === 0 ? (
				<Empty title={isFiltered ? "No host is like that" : "There are no hosts yet"}>
					{isFiltered ? (
						<a href={href(["hosts"])}>Show all of them</a>
					) : may("admin") ? (
						<a href={href(["hosts", "add"])}>Add the first one</a>
					) : (
						"An admin adds the first one."
					)}
				</Empty>
			) : (
				<div class="table hosts" role="table" aria-label="Hosts" aria-rowcount={(total ?? 0) + 1}>
					<div role="rowgroup">
						<div class="row heading" role="row" aria-rowindex={1}>
							{["Name", "State", "Site", "Heartbeat", "Worker"].map((title) => (
								<span key={title} role="columnheader">
									{title}
								</span>
							))}
						</div>
					</div>
					<Virtual
						count={total ?? 0}
						rowHeight={32}
						moved={(window) => {
							view.current = window;
							rows.want(window.from, window.to);
						}}
						row={(index) => <HostRow key={index} index={index} host={rows.at(index)} heardAt={seen(rows.at(index)?.worker?.id)} />}
					/>
				</div>
			)}
		</>
	);
}

function HostRow({
	host,
	index,
	heardAt,
}: {
	readonly host: Row | undefined;
	readonly index: number;
	readonly heardAt: string | undefined;
}) {
	if (host === undefined) {
		return (
			<div class="row loading" role="row" aria-rowindex={index + 2}>
				<span role="cell">…</span>
			</div>
		);
	}
	return (
		<div class="row" role="row" aria-rowindex={index + 2} data-host={host.id}>
			<span role="cell">
				<a href={href(["hosts", host.id])}>{host.name}</a>
			</span>
			<span role="cell">
				<Badge state={host.state} was={host.lastKnownState} />
			</span>
			<span role="cell">{host.site === null ? <span class="quiet">no site</span> : host.site.code}</span>
			<span role="cell">
				<Ago at={heardAt ?? host.lastHeartbeatAt} />
			</span>
			<span role="cell" class="quiet">
				{host.worker?.state === "REVOKED" ? <b class="revoked">revoked</b> : null}{" "}
				{[host.worker?.platform, host.worker?.version].filter((text) => text != null).join(" · ")}
			</span>
		</div>
	);
}

function Filters({ state, site, name }: { readonly state: HostState | undefined; readonly site: string; readonly name: string }) {
	const sites = useQuery(siteCodesQuery, {}).data?.sites.nodes ?? [];
	const [text, setText] = useState(name);
	const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
	useEffect(() => setText(name), [name]);
	return (
		<form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
			<input
				type="search"
				aria-label="Name contains"
				placeholder="Name contains…"
				value={text}
				onInput={(event) => {
					const { value } = event.currentTarget;
					setText(value);
					clearTimeout(timer.current);
					timer.current = setTimeout(() => setParams({ name: value }), 250);
				}}
			/>
			<select aria-label="State" value={state ?? ""} onChange={(event) => setParams({ state: event.currentTarget.value })}>
				<option value="">Every state</option>
				{stateOrder.map((one) => (
					<option key={one} value={one}>
						{states[one].label}
					</option>
				))}
			</select>
			<select aria-label="Site" value={site} onChange={(event) => setParams({ site: event.currentTarget.value })}>
				<option value="">Every site</option>
				{sites.map(({ code, name: title }) => (
					<option key={code} value={code}>
						{code === title ? code : `${code} — ${title}`}
					</option>
				))}
			</select>
		</form>
	);
}

/** Shows state changes in the rows that are here; reads anew when one may have come to or left the list. */
function useHostChanges(
	rows: Rows<Row>,
	view: { readonly current: Window },
	filter: HostState | undefined,
	refresh: () => void,
	draw: () => void,
): void {
	const waiting = useRef(new Map<string, Pick<Row, "state" | "lastKnownState">>());
	const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
	useEffect(() => () => clearTimeout(timer.current), []);
	function show(): void {
		timer.current = undefined;
		let [changed, moved] = [false, false];
		for (const [id, change] of waiting.current) {
			const place = rows.patch(id, change);
			// What is not in view needs no drawing: of 500 changes a second two are.
			changed ||= place !== undefined && place >= view.current.from && place < view.current.to;
			const isHere = place !== undefined;
			// Without a filter a host that was just made is new to the list.
			moved ||= filter === undefined ? !isHere && change.state === "PENDING" : isHere ? change.state !== filter : change.state === filter;
		}
		waiting.current.clear();
		if (changed) draw();
		if (moved || rows.total === 0) refresh();
	}
	useLive(hostChangedSubscription, {}, ({ hostChanged: { id, state, lastKnownState } }) => {
		waiting.current.set(id, { state, lastKnownState });
		timer.current ??= setTimeout(show, showMs);
	});
}

/** When the workers in view were heard last. */
function useBeats(rows: Rows<Row>, view: Window): (workerId: string | undefined) => string | undefined {
	const heard = useRef(new Map<string, string>());
	const ids = [];
	for (let index = view.from; index < view.to; index++) {
		const id = rows.at(index)?.worker?.id;
		if (id !== undefined) ids.push(id);
	}
	// Followed again only when the view rests: a scroll through thousands opens no subscription for each step.
	const [followed, follow] = useState<readonly string[]>([]);
	const key = ids.join(" ");
	useEffect(() => {
		const timer = setTimeout(() => follow(key === "" ? [] : key.split(" ")), 400);
		return () => clearTimeout(timer);
	}, [key]);
	useLive(beatsSubscription, followed.length === 0 ? undefined : { workerIds: [...followed] }, ({ heartbeat }) => {
		if (heard.current.size > 5_000) heard.current.clear();
		heard.current.set(heartbeat.workerId, heartbeat.at);
	});
	return (workerId) => (workerId === undefined ? undefined : heard.current.get(workerId));
}
