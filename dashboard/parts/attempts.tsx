/** Enroll attempts in plain words. */
import { type Attempt, methods, outcomeWords, refusals } from "../lib/words.ts";
import { Ago } from "./bits.tsx";

/** One a line, newest first; a refusal says why and what to do. */
export function Attempts({ list, named = true }: { readonly list: readonly Attempt[]; readonly named?: boolean }) {
	return (
		<ol class="attempts">
			{list.map((attempt) => (
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
					{named ? <strong>{attempt.claimedName === "" ? "(no name)" : attempt.claimedName}</strong> : null}
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
