import { useState } from "preact/hooks";
import { send } from "../api/client.ts";
import type { ResultOf } from "../api/graphql.ts";
import { useAction, useCalm, useLive, useQuery } from "../api/hooks.ts";
import { may } from "../api/session.ts";
import { whole } from "../lib/figures.ts";
import { href } from "../lib/route.ts";
import { type Held, methods } from "../lib/words.ts";
import { alertSubscription } from "../operations/alerts.ts";
import { approveMutation, claimsQuery, rejectMutation, settleMutation } from "../operations/claims.ts";
import { attemptSubscription, hostChangedSubscription } from "../operations/overview.ts";
import { Ago, Empty, Facts, Head, Panel, Problem } from "../parts/bits.tsx";
import { Confirm } from "../parts/dialog.tsx";

type Claimant = NonNullable<Held["collision"]>["claimant"];
type Claims = ResultOf<typeof claimsQuery>["workers"];

const verdicts = {
	ADOPT: {
		label: "Adopt",
		means:
			"The same machine: the newcomer goes on as the worker there is. The one that was here is cut off when the newcomer first reports.",
	},
	SPLIT: {
		label: "Split",
		means: "Another machine with a copied id: the newcomer becomes a worker of its own, the one that was here stays.",
	},
	BAN: { label: "Ban", means: "The newcomer stays out. The one that was here stays as it is." },
} as const;
type Verdict = keyof typeof verdicts;

/** What waits for an operator. */
export function Claims() {
	const { data, error, reload } = useQuery(claimsQuery, {});
	const soon = useCalm(reload);
	useLive(attemptSubscription, {}, soon);
	useLive(alertSubscription, {}, soon);
	useLive(hostChangedSubscription, {}, soon);
	const held = data?.workers.nodes ?? [];
	return (
		<>
			<Head title="Collisions & approvals" note={noteOf(data?.workers)} />
			<Problem error={error} />
			{data !== undefined && held.length === 0 ? (
				<Empty title="Nobody waits for you">
					A worker is held here when its site asks for approval, or when a machine id that is online turns up under another hostname.
				</Empty>
			) : null}
			{held.map((worker) =>
				worker.collision === null ? (
					<Approval key={worker.id} worker={worker} changed={reload} />
				) : (
					<CollisionCard key={worker.id} worker={worker} changed={reload} />
				),
			)}
		</>
	);
}

function noteOf(workers: Claims | undefined): string | undefined {
	if (workers === undefined || workers.totalCount === 0) return undefined;
	return `${whole(workers.totalCount)} waiting${workers.totalCount > workers.nodes.length ? `, the newest ${workers.nodes.length} shown` : ""}`;
}

function CollisionCard({ worker, changed }: { readonly worker: Held; readonly changed: () => void }) {
	const [asked, ask] = useState<Verdict>();
	const { collision } = worker;
	if (collision === null) return null;
	const [incumbent, claimant] = [sideOf(collision.incumbent, worker, false), sideOf(collision.claimant, worker, true)];
	return (
		<Panel title={`Two claim one machine: ${worker.name}`} note={<Ago at={worker.createdAt} />} class="collision">
			<table>
				<thead>
					<tr>
						<td />
						<th scope="col">Has it now</th>
						<th scope="col">Claims it</th>
					</tr>
				</thead>
				<tbody>
					{incumbent.map(([name, left], index) => {
						const right = claimant[index]?.[1];
						if (left == null && right == null) return null;
						// What only one of the two said is no difference between them.
						const isSame = left == null || right == null || text(left) === text(right);
						return (
							<tr key={name} class={isSame ? "same" : "differs"}>
								<th scope="row">
									{name}
									{isSame ? null : <span class="sr"> (differs)</span>}
								</th>
								<td>{left ?? <span class="quiet">–</span>}</td>
								<td>{right ?? <span class="quiet">–</span>}</td>
							</tr>
						);
					})}
				</tbody>
			</table>
			{may("operator") ? (
				<div class="verdicts">
					{Object.entries(verdicts).map(([verdict, { label, means }]) => (
						<button key={verdict} type="button" class={verdict === "BAN" ? "danger" : ""} onClick={() => ask(verdict as Verdict)}>
							<b>{label}</b>
							<span>{means}</span>
						</button>
					))}
				</div>
			) : (
				<p class="quiet">An operator decides.</p>
			)}
			{asked === undefined ? null : (
				<Confirm
					title={`${verdicts[asked].label} ${worker.name}?`}
					action={verdicts[asked].label}
					danger={asked === "BAN"}
					close={() => ask(undefined)}
					work={() => send(settleMutation, { workerId: worker.id, verdict: asked })}
					done={changed}
				>
					{verdicts[asked].means}
				</Confirm>
			)}
		</Panel>
	);
}

/** What is to be compared of one side; of the newcomer the worker that is held says it. */
function sideOf(claimant: Claimant, held: Held, isNew: boolean) {
	const worker = isNew ? held : claimant.worker;
	const seen = claimant.worker?.lastHeartbeatAt ?? claimant.lastHeartbeatAt;
	return [
		["Name", isNew ? held.name : (claimant.worker?.name ?? claimant.name)],
		["Hostname", claimant.hostname],
		["Address", claimant.sourceAddress],
		["Platform", worker?.platform],
		["Version", worker?.version],
		["Came by", worker == null ? null : methods[worker.method]],
		["Site", worker?.site?.code],
		["Claimed", claimant.claimedAt === null ? null : <Ago key="at" at={claimant.claimedAt} />],
		["Last heartbeat", isNew ? null : <Ago key="seen" at={seen} />],
	] as const;
}

function text(value: unknown): string {
	return typeof value === "string" ? value : value == null ? "" : JSON.stringify((value as { props?: { at?: string } }).props?.at ?? "");
}

function Approval({ worker, changed }: { readonly worker: Held; readonly changed: () => void }) {
	const action = useAction();
	const decide = (work: () => Promise<unknown>) => void action.run(work).then((done) => done && changed());
	return (
		<Panel
			title={worker.name}
			note={
				<>
					asks to be let in{worker.site === null ? "" : ` at ${worker.site.code}`} · <Ago at={worker.createdAt} />
				</>
			}
			class="approval"
		>
			<Facts
				wide
				of={[
					["Hostname", worker.hostname],
					["Platform", worker.platform],
					["Version", worker.version],
					["Came by", methods[worker.method]],
					["Machine uid", worker.machineUid],
					["Labels", worker.labels.map(({ key, value }) => `${key}=${value}`).join(", ")],
				]}
			/>
			<Problem error={action.error} />
			{may("operator") ? (
				<div class="buttons start">
					<button
						type="button"
						class="primary"
						disabled={action.busy}
						onClick={() => decide(() => send(approveMutation, { id: worker.id }))}
					>
						Approve
					</button>
					<button type="button" class="danger" disabled={action.busy} onClick={() => decide(() => send(rejectMutation, { id: worker.id }))}>
						Reject
					</button>
				</div>
			) : (
				<p class="quiet">
					An operator decides. <a href={href(["hosts"])}>All hosts</a>
				</p>
			)}
		</Panel>
	);
}
