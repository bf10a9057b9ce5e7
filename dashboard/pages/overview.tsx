import { useEffect, useRef, useState } from "preact/hooks";
import { useCalm, useLive, useQuery } from "../api/hooks.ts";
import type { ResultOf } from "../api/graphql.ts";
import { may } from "../api/session.ts";
import { whole } from "../lib/figures.ts";
import { href } from "../lib/route.ts";
import { type Attempt, stateOrder, states } from "../lib/words.ts";
import { alertSubscription } from "../operations/alerts.ts";
import { attemptSubscription, attemptsQuery, hostChangedSubscription, overviewQuery, pulseSubscription } from "../operations/overview.ts";
import { AlertLine } from "../parts/alert-line.tsx";
import { Attempts } from "../parts/attempts.tsx";
import { Empty, Head, Panel, Problem } from "../parts/bits.tsx";
import { Sparkline } from "../parts/sparkline.tsx";

type Counts = ResultOf<typeof overviewQuery>;
/** Points of a live line: three minutes in steps of two seconds. */
const points = 90;
const stepMs = 2_000;
const attemptsShown = 12;

/** The fleet at a glance. */
export function Overview() {
	const { data, error, reload } = useQuery(overviewQuery, {});
	const recent = useQuery(attemptsQuery, { first: attemptsShown });
	const [arrived, setArrived] = useState<readonly Attempt[]>([]);
	const beats = useRate();
	const enrollments = useRate();
	const soon = useCalm(reload);
	const waiting = useRef<Attempt[]>([]);
	const showArrived = useCalm(() => {
		const news = waiting.current.splice(0).reverse();
		setArrived((shown) => [...news, ...shown].slice(0, attemptsShown));
	});
	useLive(hostChangedSubscription, {}, soon);
	useLive(alertSubscription, {}, soon);
	useLive(pulseSubscription, {}, () => beats.count());
	useLive(attemptSubscription, {}, ({ enrollmentAttempt }) => {
		enrollments.count();
		waiting.current.push(enrollmentAttempt);
		showArrived();
	});
	const attempts = merged(arrived, recent.data?.enrollmentAttempts.nodes ?? []);
	return (
		<>
			<Head title="Overview" note={data === undefined ? undefined : <Summary data={data} />}>
				{may("admin") ? (
					<a class="button primary" href={href(["hosts", "add"])}>
						Add a host
					</a>
				) : null}
			</Head>
			<Problem error={error} />
			{data === undefined ? null : <States data={data} />}
			<div class="pair">
				<Rate title="Heartbeats" rate={beats} />
				<Rate title="Enrollments" rate={enrollments} tone="warm" />
			</div>
			<div class="columns">
				<Panel title="Last attempts" note="live" class="stream">
					{attempts.length === 0 && recent.data !== undefined ? (
						<Empty title="Nobody has tried to come in yet">
							Add a host, and paste its line there. Each attempt shows up here, refused ones with the reason.
						</Empty>
					) : (
						<Attempts list={attempts} />
					)}
				</Panel>
				<Panel
					title="Open alerts"
					note={
						data === undefined || data.alerts.totalCount === 0 ? undefined : (
							<a href={href(["alerts"])}>all {whole(data.alerts.totalCount)}</a>
						)
					}
				>
					{data?.alerts.totalCount === 0 ? <Empty title="Nothing asks for you" /> : null}
					<ul class="alerts">
						{data?.alerts.nodes.map((alert) => (
							<AlertLine key={alert.id} alert={alert} />
						))}
					</ul>
				</Panel>
			</div>
		</>
	);
}

function Summary({ data }: { readonly data: Counts }) {
	const total = stateOrder.reduce((sum, state) => sum + countOf(data, state), 0);
	return (
		<>
			{whole(total)} {total === 1 ? "host" : "hosts"} · {whole(data.sites.totalCount)} {data.sites.totalCount === 1 ? "site" : "sites"}
			{data.held.totalCount === 0 ? null : (
				<>
					{" · "}
					<a href={href(["claims"])}>{whole(data.held.totalCount)} waiting for a decision</a>
				</>
			)}
		</>
	);
}

function States({ data }: { readonly data: Counts }) {
	const shares = stateOrder.map((state) => ({ state, count: countOf(data, state) }));
	const total = shares.reduce((sum, { count }) => sum + count, 0);
	return (
		<section class="states" aria-label="Hosts by state">
			<div class="bar" aria-hidden="true">
				{total === 0
					? null
					: shares.map(({ state, count }) =>
							count === 0 ? null : <i key={state} class={state.toLowerCase()} style={{ flexGrow: count }} />,
						)}
			</div>
			<ul>
				{shares.map(({ state, count }) => (
					<li key={state} class={count === 0 ? "none" : state.toLowerCase()}>
						<a href={href(["hosts"], { state })} title={states[state].means}>
							<b>{whole(count)}</b>
							<span>{states[state].label}</span>
						</a>
					</li>
				))}
			</ul>
		</section>
	);
}

function countOf(data: Counts, state: (typeof stateOrder)[number]): number {
	const counts = { PENDING: data.pending, MONITORING: data.monitoring, FUSING: data.fusing, FUSED: data.fused, DEGRADED: data.degraded };
	return counts[state].totalCount;
}

interface RateView {
	readonly values: readonly (number | null)[];
	readonly perMinute: number;
	readonly count: () => void;
}

function Rate({ title, rate, tone = "line" }: { readonly title: string; readonly rate: RateView; readonly tone?: string }) {
	const text = `${whole(rate.perMinute)} a minute`;
	return (
		<section class="rate" aria-label={title}>
			<p>
				{title}
				<b>
					{whole(rate.perMinute)}
					<small> / min</small>
				</b>
			</p>
			<Sparkline values={rate.values} label={`${title}: ${text}`} tone={tone} />
		</section>
	);
}

/** Counts events in steps; what was before the page was opened is unknown and stays empty. */
function useRate(): RateView {
	const counter = useRef(0);
	const [values, setValues] = useState<readonly (number | null)[]>(() => Array.from({ length: points }, () => null));
	useEffect(() => {
		const timer = setInterval(() => {
			const count = counter.current;
			counter.current = 0;
			setValues((before) => [...before.slice(1), count * (60_000 / stepMs)]);
		}, stepMs);
		return () => clearInterval(timer);
	}, []);
	const lastMinute = values.slice(-60_000 / stepMs).filter((value) => value !== null);
	const perMinute = lastMinute.reduce((sum, value) => sum + value, 0) / Math.max(1, lastMinute.length);
	return { values, perMinute, count: () => (counter.current += 1) };
}

function merged(fresh: readonly Attempt[], read: readonly Attempt[]): readonly Attempt[] {
	const all = new Map([...fresh, ...read].map((attempt) => [attempt.id, attempt]));
	return [...all.values()].sort((left, right) => (left.id < right.id ? 1 : -1)).slice(0, attemptsShown);
}
