import { useEffect, useRef } from "preact/hooks";
import { connection } from "./api/client.ts";
import { useCalm, useLive, useQuery } from "./api/hooks.ts";
import { session, signOut } from "./api/session.ts";
import { href, route } from "./lib/route.ts";
import { whole } from "./lib/figures.ts";
import { alertSubscription } from "./operations/alerts.ts";
import { heldQuery } from "./operations/claims.ts";
import { attemptSubscription } from "./operations/overview.ts";
import { AddHost } from "./pages/add-host.tsx";
import { Alerts } from "./pages/alerts.tsx";
import { Audit } from "./pages/audit.tsx";
import { Claims } from "./pages/claims.tsx";
import { HostPage } from "./pages/host.tsx";
import { Hosts } from "./pages/hosts.tsx";
import { Mesh } from "./pages/mesh.tsx";
import { Overview } from "./pages/overview.tsx";
import { SignIn } from "./pages/sign-in.tsx";
import { Sites } from "./pages/sites.tsx";
import { Webhooks } from "./pages/webhooks.tsx";
import { Empty } from "./parts/bits.tsx";

const places = [
	["", "Overview"],
	["hosts", "Hosts"],
	["claims", "Collisions & approvals"],
	["sites", "Sites & keys"],
	["mesh", "Mesh"],
	["alerts", "Alerts"],
	["webhooks", "Webhooks"],
	["audit", "Audit"],
] as const;

/** Everything on the screen. */
export function App() {
	return session.value === undefined ? <SignIn /> : <Signed />;
}

function Signed() {
	const main = useRef<HTMLElement>(null);
	const path = route.value.parts.join("/");
	const isFirst = useRef(true);
	// A new page begins at its top, and a screen reader hears its name
	useEffect(() => {
		if (isFirst.current) {
			isFirst.current = false;
			return;
		}
		scrollTo(0, 0);
		main.current?.querySelector("h1")?.focus({ preventScroll: true });
	}, [path]);
	return (
		<>
			<button type="button" class="skip" onClick={() => main.current?.querySelector("h1")?.focus()}>
				Skip to the page
			</button>
			<Navigation />
			<div class="page">
				<Connection />
				<main ref={main} id="main">
					<Page />
				</main>
			</div>
		</>
	);
}

function Page() {
	const [place = "", id] = route.value.parts;
	switch (place) {
		case "":
			return <Overview />;
		case "hosts":
			if (id === "add") return <AddHost />;
			return id === undefined ? <Hosts /> : <HostPage key={id} id={id} />;
		case "claims":
			return <Claims />;
		case "sites":
			return <Sites />;
		case "mesh":
			return <Mesh />;
		case "alerts":
			return <Alerts />;
		case "webhooks":
			return <Webhooks />;
		case "audit":
			return <Audit />;
		default:
			return (
				<Empty title="There is no such page">
					<a href={href([])}>Go to the overview</a>
				</Empty>
			);
	}
}

function Navigation() {
	const current = session.value;
	const here = route.value.parts[0] ?? "";
	const { data, reload } = useQuery(heldQuery, {});
	const soon = useCalm(reload);
	useLive(alertSubscription, {}, soon);
	useLive(attemptSubscription, {}, soon);
	const counts: Readonly<Record<string, number | undefined>> = { claims: data?.workers.totalCount, alerts: data?.alerts.totalCount };
	return (
		<nav class="side" aria-label="Main">
			<a class="brand" href={href([])} aria-label="Muster, overview">
				<svg viewBox="0 0 32 24" aria-hidden="true">
					{[0, 1, 2, 3, 4].map((dot) => (
						<circle key={dot} cx={5 + (dot % 3) * 9} cy={6 + Math.floor(dot / 3) * 9} r="3" />
					))}
					<circle class="new" cx="23" cy="19" r="3" />
				</svg>
				muster
			</a>
			<ul>
				{places.map(([place, label]) => (
					<li key={place}>
						<a href={href(place === "" ? [] : [place])} aria-current={here === place ? "page" : undefined}>
							{label}
							{(counts[place] ?? 0) > 0 ? <b class="count">{whole(counts[place] ?? 0)}</b> : null}
						</a>
					</li>
				))}
			</ul>
			<div class="who">
				<p title={`Tenant ${current?.tenant}`}>
					<strong>{current?.subject}</strong>
					<span>
						{current?.role} · {current?.tenant}
					</span>
				</p>
				<button type="button" onClick={() => signOut()}>
					Sign out
				</button>
			</div>
		</nav>
	);
}

/** Says when what is shown may be old. */
function Connection() {
	return (
		<div class="connection" role="status">
			{connection.value === "lost" ? (
				<p>
					<i aria-hidden="true" />
					Connection lost. What you see may be old; trying again by itself.
				</p>
			) : null}
		</div>
	);
}
