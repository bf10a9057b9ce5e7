import { useRef, useState } from "preact/hooks";
import type { ResultOf } from "../api/graphql.ts";
import { useCalm, useEvery, useLive, useQuery } from "../api/hooks.ts";
import { bytes, load } from "../lib/figures.ts";
import { href } from "../lib/route.ts";
import { duration } from "../lib/time.ts";
import { methods } from "../lib/words.ts";
import { hostQuery, oneHostSubscription } from "../operations/host.ts";
import { beatsSubscription } from "../operations/hosts.ts";
import { attemptSubscription } from "../operations/overview.ts";
import { Attempts } from "../parts/attempts.tsx";
import { Ago, Badge, Empty, Head, Panel, Problem } from "../parts/bits.tsx";
import { Containers } from "../parts/containers.tsx";
import { FuseButton, Fusion } from "../parts/fuse.tsx";
import { Happenings } from "../parts/happenings.tsx";
import { HostActions } from "../parts/host-actions.tsx";
import { LifeCycle } from "../parts/life-cycle.tsx";
import { HostMesh } from "../parts/mesh.tsx";
import { Sparkline } from "../parts/sparkline.tsx";
import { Stacks } from "../parts/stacks.tsx";

type Host = NonNullable<ResultOf<typeof hostQuery>["host"]>;
type Figures = Host["history"][number];

/** One host: where it is in its life, how it does, and who tried to come in as it. */
export function HostPage({ id }: { readonly id: string }) {
	const { data, error, reload } = useQuery(hostQuery, { id });
	const host = data?.host;
	const soon = useCalm(reload);
	useLive(oneHostSubscription, { ids: [id] }, soon);
	useLive(attemptSubscription, {}, soon);
	// That it was deleted, or its worker revoked, no event tells.
	useEvery(20_000, reload);
	if (host === null) {
		return (
			<Empty title="There is no such host">
				It was deleted, or is another tenant's. <a href={href(["hosts"])}>All hosts</a>
			</Empty>
		);
	}
	if (host === undefined) return <Problem error={error} />;
	// While it is not heard what is asked of it waits.
	const isFused = host.state === "FUSED" || (host.state === "DEGRADED" && host.lastKnownState === "FUSED");
	return (
		<>
			<p class="crumbs">
				<a href={href(["hosts"])}>Hosts</a>
			</p>
			<Head
				title={host.name}
				note={
					<>
						<Badge state={host.state} was={host.lastKnownState} />{" "}
						{host.site === null ? null : <a href={href(["hosts"], { site: host.site.code })}>{host.site.code}</a>}{" "}
						<span class="quiet">
							heard <Ago at={host.lastHeartbeatAt} />
						</span>
					</>
				}
			>
				<FuseButton host={host} changed={reload} />
				<HostActions host={host} changed={reload} />
			</Head>
			<Problem error={error} />
			<LifeCycle host={host} />
			<Fusion host={host} />
			<Metrics host={host} changed={soon} />
			{host.worker === null ? null : (
				<>
					<Stacks hostId={host.id} isFused={isFused} />
					<Containers hostId={host.id} isFused={isFused} />
				</>
			)}
			<div class="columns">
				<Panel title="Attempts to come in" note="newest first" class="stream">
					{host.recentAttempts.length === 0 ? (
						<Empty title="None yet">Paste the install line on the machine; what comes of it shows up here.</Empty>
					) : (
						<Attempts list={host.recentAttempts} named={false} />
					)}
				</Panel>
				<div>
					<Facts host={host} />
					<HostMesh hostId={host.id} />
					<Happenings hostId={host.id} />
				</div>
			</div>
		</>
	);
}

function Metrics({ host, changed }: { readonly host: Host; readonly changed: () => void }) {
	const [live, setLive] = useState<Figures>();
	const last = useRef(0);
	const workerIds = host.worker === null ? undefined : [host.worker.id];
	useLive(beatsSubscription, workerIds === undefined ? undefined : { workerIds }, ({ heartbeat }) => {
		setLive(heartbeat);
		// The history has a point a minute.
		if (Date.parse(heartbeat.at) - last.current < 60_000) return;
		last.current = Date.parse(heartbeat.at);
		changed();
	});
	const current = live ?? host.vitals;
	if (current === null) return null;
	const history = [...host.history, ...(live === undefined ? [] : [live])];
	const series = (of: (figures: Figures) => number | null) => history.map(of);
	return (
		<section class="metrics" aria-label="Metrics">
			<Metric title="Load" value={current.load1 === null ? "–" : load(current.load1)} values={series(({ load1 }) => load1)} />
			<Metric
				title="Memory used"
				value={current.memoryUsedBytes === null ? "–" : bytes(current.memoryUsedBytes)}
				values={series(({ memoryUsedBytes }) => memoryUsedBytes)}
			/>
			<section class="rate" aria-label="Uptime">
				<p>
					Up for
					<b>{current.uptimeSeconds === null ? "–" : duration(current.uptimeSeconds)}</b>
				</p>
				<p class="quiet">
					as of <Ago at={current.at} />
				</p>
			</section>
		</section>
	);
}

function Metric({ title, value, values }: { readonly title: string; readonly value: string; readonly values: readonly (number | null)[] }) {
	return (
		<section class="rate" aria-label={title}>
			<p>
				{title}
				<b>{value}</b>
			</p>
			<Sparkline values={values} label={`${title}, the last hour: now ${value}`} />
		</section>
	);
}

function Facts({ host }: { readonly host: Host }) {
	const { worker } = host;
	const facts: readonly (readonly [string, string | null | undefined])[] = [
		["Host id", host.id],
		["Worker id", worker?.id],
		["Worker state", worker?.state],
		["Came in by", worker === null ? null : methods[worker.method]],
		["Hostname", worker?.hostname],
		["Platform", worker?.platform],
		["Version", worker?.version],
		["Machine uid", worker?.machineUid],
		["Mesh address", host.meshAddress],
		["Fleet", worker?.fleet?.name],
		["Labels", worker?.labels.map(({ key, value }) => `${key}=${value}`).join(", ")],
	];
	return (
		<Panel title="Facts">
			<dl class="facts">
				{facts.map(([name, value]) =>
					value == null || value === "" ? null : (
						<div key={name}>
							<dt>{name}</dt>
							<dd>{value}</dd>
						</div>
					),
				)}
				{worker === null ? null : (
					<div>
						<dt>Enrolled</dt>
						<dd>
							<Ago at={worker.createdAt} />
						</dd>
					</div>
				)}
				{host.tokenExpiresAt === null ? null : (
					<div>
						<dt>Unused token ends</dt>
						<dd>
							<Ago at={host.tokenExpiresAt} />
						</dd>
					</div>
				)}
			</dl>
		</Panel>
	);
}
