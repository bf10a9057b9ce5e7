import { useState } from "preact/hooks";
import { send } from "../api/client.ts";
import type { ResultOf } from "../api/graphql.ts";
import { useCalm, useLive, useQuery } from "../api/hooks.ts";
import { may } from "../api/session.ts";
import { whole } from "../lib/figures.ts";
import { href } from "../lib/route.ts";
import { now } from "../lib/time.ts";
import { attemptSubscription } from "../operations/overview.ts";
import { enrollmentKeysQuery, keyWorkersQuery, revokeKeyMutation, sitesQuery } from "../operations/sites.ts";
import { Ago, Empty, Head, Panel, Problem } from "../parts/bits.tsx";
import { Confirm } from "../parts/dialog.tsx";
import { MakeKey, NewSite, RotateKey } from "../parts/site-forms.tsx";
import { TableHead } from "../parts/table.tsx";

type Site = ResultOf<typeof sitesQuery>["sites"]["nodes"][number];
type SiteKey = NonNullable<Site["key"]>;
type EnrollmentKey = ResultOf<typeof enrollmentKeysQuery>["enrollmentKeys"]["nodes"][number];

/** Where hosts are, and what lets them in. */
export function Sites() {
	const { data, error, reload } = useQuery(sitesQuery, {});
	const keys = useQuery(enrollmentKeysQuery, {});
	const [open, setOpen] = useState<"site" | "key">();
	const soon = useCalm(() => {
		reload();
		keys.reload();
	});
	useLive(attemptSubscription, {}, soon);
	const sites = data?.sites.nodes ?? [];
	const close = () => {
		setOpen(undefined);
		soon();
	};
	return (
		<>
			<Head
				title="Sites & keys"
				note={data === undefined ? undefined : `${whole(data.sites.totalCount)} ${data.sites.totalCount === 1 ? "site" : "sites"}`}
			>
				{may("admin") ? (
					<>
						<button type="button" onClick={() => setOpen("key")} disabled={sites.length === 0}>
							New enrollment key
						</button>
						<button type="button" class="primary" onClick={() => setOpen("site")}>
							New site
						</button>
					</>
				) : null}
			</Head>
			<Problem error={error ?? keys.error} />
			{data?.sites.totalCount === 0 ? (
				<Empty title="There are no sites yet">
					{may("admin") ? "Make the first one: a site has a key that lets its hosts in." : "An admin makes the first one."}
				</Empty>
			) : null}
			{sites.map((site) => (
				<SiteCard key={site.id} site={site} changed={soon} />
			))}
			<EnrollmentKeys list={keys.data?.enrollmentKeys.nodes} changed={soon} />
			{open === "site" ? <NewSite close={close} /> : null}
			{open === "key" ? <MakeKey sites={sites} close={close} /> : null}
		</>
	);
}

function SiteCard({ site, changed }: { readonly site: Site; readonly changed: () => void }) {
	const [rotating, setRotating] = useState(false);
	const former = site.formerKeys.filter(({ graceEndsAt, uses }) => uses > 0 || isAlive(graceEndsAt));
	return (
		<Panel
			title={site.code}
			class="site"
			note={
				<>
					{site.name === site.code ? "" : `${site.name} · `}
					{site.enrollmentPolicy === "REQUIRE_APPROVAL" ? "waits for approval" : "lets in at once"} ·{" "}
					<a href={href(["hosts"], { site: site.code })}>hosts</a>
				</>
			}
		>
			{site.key === null ? (
				<p class="nokey quiet">No key yet, so nobody can come in with one{may("admin") ? "" : ": an admin makes the first"}.</p>
			) : (
				<div class="scroll">
					<table class="keys">
						<TableHead titles={["Key", "Made", "Uses", "Last use", "Life", "Who came in with it"]} />
						<tbody>
							<KeyRow siteKey={site.key} active />
							{former.map((key) => (
								<KeyRow key={key.id} siteKey={key} />
							))}
						</tbody>
					</table>
				</div>
			)}
			{may("admin") ? (
				<div class="buttons start">
					<button type="button" onClick={() => setRotating(true)}>
						{site.key === null ? "Make the first key" : "Rotate the key"}
					</button>
				</div>
			) : null}
			{rotating ? (
				<RotateKey
					site={site}
					close={() => {
						setRotating(false);
						changed();
					}}
				/>
			) : null}
		</Panel>
	);
}

function isAlive(graceEndsAt: string | null): boolean {
	return graceEndsAt !== null && Date.parse(graceEndsAt) > now.value;
}

function KeyRow({ siteKey, active = false }: { readonly siteKey: SiteKey; readonly active?: boolean }) {
	const [open, setOpen] = useState(false);
	return (
		<tr class={active ? "" : "former"}>
			<td>
				<code class="fingerprint">{siteKey.fingerprint}</code>
			</td>
			<td>
				<Ago at={siteKey.createdAt} />
			</td>
			<td class="number">{whole(siteKey.uses)}</td>
			<td>
				<Ago at={siteKey.lastUsedAt} />
			</td>
			<td>
				{active ? (
					<b class="ok">active</b>
				) : isAlive(siteKey.graceEndsAt) ? (
					<>
						ends <Ago at={siteKey.graceEndsAt} />
					</>
				) : (
					<span class="quiet">ended</span>
				)}
			</td>
			<td>
				{open ? (
					<KeyWorkers keyId={siteKey.id} />
				) : (
					<button type="button" class="link" onClick={() => setOpen(true)}>
						show
					</button>
				)}
			</td>
		</tr>
	);
}

function KeyWorkers({ keyId }: { readonly keyId: string }) {
	const { data, error } = useQuery(keyWorkersQuery, { keyId });
	if (error !== undefined) return <Problem error={error} />;
	if (data === undefined) return <span class="quiet">…</span>;
	const { nodes, totalCount } = data.workers;
	if (totalCount === 0) return <span class="quiet">nobody who is still here</span>;
	return (
		<span class="names">
			{nodes.map(({ id, name, online, host }) => (
				<span key={id} class={online ? "" : "quiet"}>
					{host === null ? name : <a href={href(["hosts", host.id])}>{name}</a>}
				</span>
			))}
			{totalCount > nodes.length ? <span class="quiet">and {whole(totalCount - nodes.length)} more</span> : null}
		</span>
	);
}

function EnrollmentKeys({ list, changed }: { readonly list: readonly EnrollmentKey[] | undefined; readonly changed: () => void }) {
	const [asked, ask] = useState<EnrollmentKey>();
	if (list === undefined) return null;
	return (
		<Panel title="Enrollment keys" note="for many hosts and a short time">
			{list.length === 0 ? (
				<Empty title="There are none">They let a rack or a batch in, and end by themselves.</Empty>
			) : (
				<div class="scroll">
					<table class="keys">
						<TableHead titles={["Name", "Hint", "Site", "Uses", "Last use", "Life"]} hasActions />
						<tbody>
							{list.map((key) => (
								<tr key={key.id} class={lifeOf(key) === undefined ? "" : "former"}>
									<td>{key.name}</td>
									<td>
										<code>{key.hint}</code>
									</td>
									<td>
										{key.site.code}
										{key.fleet === null ? "" : ` / ${key.fleet.name}`}
									</td>
									<td class="number">
										{whole(key.uses)} of {whole(key.maxUses)}
									</td>
									<td>
										<Ago at={key.lastUsedAt} />
										{key.lastWorker === null ? null : <span class="quiet"> by {key.lastWorker.name}</span>}
									</td>
									<td>
										{lifeOf(key) ?? (
											<>
												ends <Ago at={key.expiresAt} />
											</>
										)}
									</td>
									<td>
										{may("admin") && lifeOf(key) === undefined ? (
											<button type="button" class="link" aria-label={`Revoke ${key.name}`} onClick={() => ask(key)}>
												revoke
											</button>
										) : null}
									</td>
								</tr>
							))}
						</tbody>
					</table>
				</div>
			)}
			{asked === undefined ? null : (
				<Confirm
					title={`Revoke ${asked.name}?`}
					action="Revoke"
					danger
					close={() => ask(undefined)}
					work={() => send(revokeKeyMutation, { id: asked.id })}
					done={changed}
				>
					Later claims are refused. Hosts that came in with it stay.
				</Confirm>
			)}
		</Panel>
	);
}

/** Why a key lets nobody in any more; undefined when it still does. */
function lifeOf(key: EnrollmentKey): string | undefined {
	if (key.revokedAt !== null) return "revoked";
	if (key.uses >= key.maxUses) return "used up";
	return Date.parse(key.expiresAt) <= now.value ? "expired" : undefined;
}
