/** Enroll attempts in plain words. */
import { type Attempt, methods, outcomeWords, refusals } from "../lib/words.ts";
import { Ago } from "./bits.tsx";

/** One a line, newest first; a refusal says why and what to do. */
export function Attempts({ list, named = true }: { readonly list: readonly Attempt[]; readonly named?: boolean }) {
	// A worker that is held asks again every few seconds: the newest time says all.
	const held = new Set<string>();
	const shown = list.filter((attempt) => {
		if (attempt.accepted || attempt.reason !== null) return true;
		const name = attempt.claimedName ?? "";
		const isNew = !held.has(name);
		held.add(name);
		return isNew;
	});
	return (
		<ol class="attempts">
			{shown.map((attempt) => (
				<AttemptLine key={attempt.id} attempt={attempt} named={named} />
			))}
		</ol>
	);
}

function AttemptLine({ attempt, named }: { readonly attempt: Attempt; readonly named: boolean }) {
	const { reason } = attempt;
	const words = reason === null ? undefined : refusals[reason];
	return (
		<li class={reason !== null ? "bad" : attempt.accepted ? "good" : "held"}>
			<i aria-hidden="true" />
			<div>
				<p>
					{named ? <strong>{attempt.claimedName === "" || attempt.claimedName === null ? "(no name)" : attempt.claimedName}</strong> : null}
					<span>{words?.what ?? outcomeWords(attempt)}</span>
					{reason === null ? null : <code>{reason}</code>}
				</p>
				{words === undefined ? null : <p class="todo">{words.todo}</p>}
				<p class="quiet">
					{attempt.method === null ? "unknown key" : methods[attempt.method]} from {attempt.sourceAddress}
				</p>
			</div>
			<Ago at={attempt.at} />
		</li>
	);
}
