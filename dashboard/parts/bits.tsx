/** The smallest parts that every page shares. */
import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";
import type { ApiError } from "../api/client.ts";
import { exact, now, relative } from "../lib/time.ts";
import { errorHelp, type HostState, states } from "../lib/words.ts";

/** A host's state, told by shape as well as by colour. */
export function Badge({ state, was }: { readonly state: HostState; readonly was?: HostState | undefined }) {
	const { label, means } = states[state];
	const title = state === "DEGRADED" && was !== undefined ? `${means}. Before: ${states[was].label}` : means;
	return (
		<span class={`badge ${state.toLowerCase()}`} title={title}>
			<i aria-hidden="true" />
			{label}
		</span>
	);
}

/** How long ago, with the exact time on hover. */
export function Ago({ at, none = "never" }: { readonly at: string | number | null | undefined; readonly none?: string }) {
	if (at == null) return <span class="quiet">{none}</span>;
	const ms = typeof at === "number" ? at : Date.parse(at);
	return (
		<time dateTime={new Date(ms).toISOString()} title={exact(ms)}>
			{relative(ms, now.value)}
		</time>
	);
}

/** What the API refused, with its code and what to do. */
export function Problem({ error }: { readonly error: ApiError | undefined }) {
	if (error === undefined) return null;
	const help = errorHelp[error.code];
	return (
		<div class="problem" role="alert">
			<code>{error.code}</code>
			<p>
				{error.message}
				{help === undefined ? null : <span class="help"> {help}</span>}
			</p>
		</div>
	);
}

/** What a page says while there is nothing to show: what to do first. */
export function Empty({ title, children }: { readonly title: string; readonly children?: ComponentChildren }) {
	return (
		<div class="empty">
			<p class="title">{title}</p>
			{children === undefined ? null : <div>{children}</div>}
		</div>
	);
}

/** A page's head: its name, what counts, what can be done. */
export function Head({
	title,
	note,
	children,
}: {
	readonly title: string;
	readonly note?: ComponentChildren;
	readonly children?: ComponentChildren;
}) {
	return (
		<header class="head">
			<h1 tabIndex={-1}>{title}</h1>
			{note === undefined ? null : <p class="note">{note}</p>}
			<div class="actions">{children}</div>
		</header>
	);
}

/** A titled part of a page. */
export function Panel({
	title,
	note,
	children,
	class: more = "",
}: {
	readonly title: string;
	readonly note?: ComponentChildren;
	readonly children: ComponentChildren;
	readonly class?: string;
}) {
	return (
		<section class={`panel ${more}`} aria-label={title}>
			<h2>
				{title}
				{note === undefined ? null : <span class="note">{note}</span>}
			</h2>
			{children}
		</section>
	);
}

/** Copies a text and says so. Works on plain http too, where browsers have no clipboard API. */
export function Copy({ text, label = "Copy" }: { readonly text: string; readonly label?: string }) {
	const [done, setDone] = useState(false);
	async function copy(): Promise<void> {
		await put(text);
		setDone(true);
		setTimeout(() => setDone(false), 2_000);
	}
	return (
		<button type="button" class="copy" onClick={() => void copy()}>
			<span aria-live="polite">{done ? "Copied" : label}</span>
		</button>
	);
}

async function put(text: string): Promise<void> {
	if (navigator.clipboard !== undefined) return navigator.clipboard.writeText(text);
	const area = document.createElement("textarea");
	area.value = text;
	document.body.append(area);
	area.select();
	document.execCommand("copy");
	area.remove();
}

/** Text to be copied whole: an install line, a secret. */
export function Snippet({ text, label }: { readonly text: string; readonly label: string }) {
	return (
		<div class="snippet">
			<pre tabIndex={0} role="group" aria-label={label}>
				{text}
			</pre>
			<Copy text={text} />
		</div>
	);
}

/** A labelled field of a form. */
export function Field({ label, hint, children }: { readonly label: string; readonly hint?: string; readonly children: ComponentChildren }) {
	return (
		// biome-ignore lint/a11y/noLabelWithoutControl: the control is among the children
		<label class="field">
			<span>{label}</span>
			{children}
			{hint === undefined ? null : <small>{hint}</small>}
		</label>
	);
}

/** One of a few, chosen by buttons. */
export function Choice<T extends string>({
	label,
	of,
	value,
	choose,
}: {
	readonly label: string;
	readonly of: readonly (readonly [T, string])[];
	readonly value: T;
	readonly choose: (value: T) => void;
}): JSX.Element {
	return (
		<div class="choice" role="group" aria-label={label}>
			{of.map(([one, text]) => (
				<button key={one} type="button" aria-pressed={one === value} onClick={() => choose(one)}>
					{text}
				</button>
			))}
		</div>
	);
}

/** Names with what is known under them; what is not known is left out. */
export function Facts({
	of,
	wide = false,
}: {
	readonly of: readonly (readonly [name: string, value: ComponentChildren])[];
	readonly wide?: boolean;
}) {
	return (
		<dl class={wide ? "facts wide" : "facts"}>
			{of.map(([name, value]) =>
				value == null || value === "" ? null : (
					<div key={name}>
						<dt>{name}</dt>
						<dd>{value}</dd>
					</div>
				),
			)}
		</dl>
	);
}
