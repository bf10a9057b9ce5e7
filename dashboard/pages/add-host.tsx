import { useEffect, useState } from "preact/hooks";
import { send } from "../api/client.ts";
import { useAction, useCalm, useLive, useQuery } from "../api/hooks.ts";
import { may } from "../api/session.ts";
import { href } from "../lib/route.ts";
import type { SnippetFormat } from "../lib/words.ts";
import { arrivalQuery, createHostMutation, oneHostSubscription } from "../operations/host.ts";
import { siteCodesQuery } from "../operations/hosts.ts";
import { attemptSubscription } from "../operations/overview.ts";
import { Attempts } from "../parts/attempts.tsx";
import { Ago, Badge, Choice, Empty, Field, Head, Problem, Snippet } from "../parts/bits.tsx";
import { formats } from "../parts/host-actions.tsx";

interface Made {
	readonly id: string;
	readonly name: string;
	readonly snippet: string;
}

/** Three steps: name it, paste the line there, see it arrive. */
export function AddHost() {
	const [made, setMade] = useState<Made>();
	const [arrived, setArrived] = useState(false);
	if (!may("admin")) return <Empty title="Adding hosts needs the role admin">Ask an admin, or sign in with another token.</Empty>;
	const step = made === undefined ? 1 : arrived ? 4 : 3;
	return (
		<>
			<p class="crumbs">
				<a href={href(["hosts"])}>Hosts</a>
			</p>
			<Head title="Add a host" />
			<ol class="steps">
				<Step number={1} title="Name it" step={step}>
					{made === undefined ? <NameForm made={setMade} /> : <p class="done">{made.name}</p>}
				</Step>
				<Step number={2} title="Paste this line on the machine" step={made === undefined ? 1 : arrived ? 4 : 2}>
					{made === undefined ? null : (
						<>
							<Missing snippet={made.snippet} />
							<Snippet text={made.snippet} label="Install line" />
							<p class="quiet">For one use within 24 hours, by this name only. It holds a secret and is shown here only.</p>
						</>
					)}
				</Step>
				<Step number={3} title="See it arrive" step={step}>
					{made === undefined ? null : <Arrival made={made} arrived={() => setArrived(true)} />}
				</Step>
			</ol>
		</>
	);
}

/** A line that would be refused says so in its first comment: that is to be seen before it is pasted. */
function Missing({ snippet }: { readonly snippet: string }) {
	const [first = ""] = snippet.split("\n", 1);
	return first.startsWith("# ") ? (
		<p class="caution" role="alert">
			{first.slice(2)}
		</p>
	) : null;
}

function Step({
	number,
	title,
	step,
	children,
}: {
	readonly number: number;
	readonly title: string;
	readonly step: number;
	readonly children: preact.ComponentChildren;
}) {
	const place = step > number ? "past" : step === number ? "here" : "ahead";
	return (
		<li class={place} aria-current={place === "here" ? "step" : undefined}>
			<b class="number" aria-hidden="true">
				{place === "past" ? "✓" : number}
			</b>
			<div>
				<h2>{title}</h2>
				{children}
			</div>
		</li>
	);
}

function NameForm({ made }: { readonly made: (made: Made) => void }) {
	const [name, setName] = useState("");
	const [siteCode, setSite] = useState("");
	const [format, setFormat] = useState<SnippetFormat>("SHELL");
	const sites = useQuery(siteCodesQuery, {}).data?.sites.nodes ?? [];
	const action = useAction();
	return (
		<form
			onSubmit={(event) => {
				event.preventDefault();
				void action.run(async () => {
					const { createHost } = await send(createHostMutation, {
						input: { name: name.trim(), siteCode: siteCode === "" ? null : siteCode },
						format,
					});
					made({ ...createHost.host, snippet: createHost.snippet });
				});
			}}
		>
			<div class="fields">
				<Field label="Name" hint="The machine's node name, to the letter">
					<input
						required
						autocomplete="off"
						spellcheck={false}
						maxLength={253}
						value={name}
						onInput={(event) => setName(event.currentTarget.value)}
					/>
				</Field>
				<Field label="Site">
					<select value={siteCode} onChange={(event) => setSite(event.currentTarget.value)}>
						<option value="">No site</option>
						{sites.map(({ code, name: title }) => (
							<option key={code} value={code}>
								{code === title ? code : `${code} — ${title}`}
							</option>
						))}
					</select>
				</Field>
			</div>
			<Choice label="How it is installed" of={formats} value={format} choose={setFormat} />
			<Problem error={action.error} />
			<div class="buttons start">
				<button type="submit" class="primary" disabled={action.busy}>
					Make the line
				</button>
			</div>
		</form>
	);
}

function Arrival({ made, arrived }: { readonly made: Made; readonly arrived: () => void }) {
	const { data, error, reload } = useQuery(arrivalQuery, { id: made.id });
	const soon = useCalm(reload);
	useLive(oneHostSubscription, { ids: [made.id] }, soon);
	useLive(attemptSubscription, {}, soon);
	const host = data?.host;
	const isHere = host != null && host.state !== "PENDING";
	// Told once
	useEffect(() => {
		if (isHere) arrived();
	}, [isHere]);
	const attempts = host?.recentAttempts ?? [];
	const isHeld = attempts[0] !== undefined && attempts[0].reason === null && !attempts[0].accepted;
	return (
		<div class="arrival">
			<div role="status">
				{isHere ? (
					<p class="arrived">
						<Badge state={host.state} /> <strong>{host.name}</strong> is here. <a href={href(["hosts", made.id])}>Look at it</a>
					</p>
				) : host === null ? (
					<p>The host was deleted meanwhile.</p>
				) : isHeld ? (
					<p>
						It came and is held. <a href={href(["claims"])}>Decide about it</a>
					</p>
				) : (
					<p class="waiting">
						<i aria-hidden="true" /> Waiting for {made.name}…{" "}
						{host?.tokenExpiresAt == null ? null : (
							<span class="quiet">
								its token ends <Ago at={host.tokenExpiresAt} />
							</span>
						)}
					</p>
				)}
			</div>
			<Problem error={error} />
			{attempts.length === 0 ? null : <Attempts list={attempts} named={false} />}
		</div>
	);
}
