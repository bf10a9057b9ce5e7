import { useState } from "preact/hooks";
import { send } from "../api/client.ts";
import { useAction, useQuery } from "../api/hooks.ts";
import { may } from "../api/session.ts";
import { href } from "../lib/route.ts";
import type { SnippetFormat } from "../lib/words.ts";
import { createHostMutation, keyLineMutation, waysInQuery } from "../operations/host.ts";
import { createSiteMutation } from "../operations/sites.ts";
import { Arrival, type MadeLine } from "../parts/arrival.tsx";
import { Choice, Empty, Field, Head, Problem, Snippet } from "../parts/bits.tsx";
import { formats } from "../parts/host-actions.tsx";

/** Three steps: name it, paste the line there, see it arrive. */
export function AddHost() {
	const [made, setMade] = useState<MadeLine>();
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
							<Snippet text={made.snippet} label="Install line" />
							<p class="quiet">
								For one use within 24 hours{made.by === "token" ? ", by this name only" : ""}. It holds a secret and is shown here only.
							</p>
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

function NameForm({ made }: { readonly made: (made: MadeLine) => void }) {
	const [name, setName] = useState("");
	const [siteCode, setSite] = useState("");
	const [format, setFormat] = useState<SnippetFormat>("SHELL");
	const { data, error, reload } = useQuery(waysInQuery, {});
	const action = useAction();
	if (data === undefined) return <Problem error={error} />;
	const sites = data.sites.nodes;
	const byToken = data.tenant.takesHostTokens;
	/** A key is a site's: the first one, until another is chosen. */
	const code = siteCode === "" ? (sites[0]?.code ?? "") : siteCode;
	async function make(): Promise<void> {
		const label = name.trim();
		if (byToken) {
			const { createHost } = await send(createHostMutation, {
				input: { name: label, siteCode: siteCode === "" ? null : siteCode },
				format,
			});
			return made({ by: "token", name: label, hostId: createHost.host.id, snippet: createHost.snippet });
		}
		if (sites.length === 0) await send(createSiteMutation, { input: { code } }).then(reload);
		const input = { name: `host ${label}`.slice(0, 200), siteCode: code, maxUses: 1, expiresInHours: 24, workerName: label };
		const { createEnrollmentKey } = await send(keyLineMutation, { input, format });
		made({ by: "key", name: label, keyId: createEnrollmentKey.key.id, siteCode: code, snippet: createEnrollmentKey.snippet ?? "" });
	}
	return (
		<form
			onSubmit={(event) => {
				event.preventDefault();
				void action.run(make);
			}}
		>
			{byToken ? null : (
				<p class="caution">
					This server has no MUSTER_SHARED_SECRET, so it takes no host tokens. The line made here carries an enrollment key instead, which
					needs none. To have tokens that let in one name only, set that variable on the server, 32 characters or more, and restart it.
				</p>
			)}
			<div class="fields">
				<Field label="Name" hint={byToken ? "The machine's node name, to the letter" : "What it is called here"}>
					<input
						required
						autocomplete="off"
						spellcheck={false}
						maxLength={253}
						value={name}
						onInput={(event) => setName(event.currentTarget.value)}
					/>
				</Field>
				{byToken || sites.length > 0 ? (
					<Field label="Site">
						<select value={byToken ? siteCode : code} onChange={(event) => setSite(event.currentTarget.value)}>
							{byToken ? <option value="">No site</option> : null}
							{sites.map(({ code, name: title }) => (
								<option key={code} value={code}>
									{code === title ? code : `${code} — ${title}`}
								</option>
							))}
						</select>
					</Field>
				) : (
					<Field label="Site" hint="Made with it, as there is none yet: letters, digits and dashes">
						<input
							required
							autocomplete="off"
							spellcheck={false}
							placeholder="berlin"
							value={siteCode}
							onInput={(event) => setSite(event.currentTarget.value)}
						/>
					</Field>
				)}
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
