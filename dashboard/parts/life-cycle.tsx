/** A host's life as a line of steps, with where it is. */
import { type HostState, states } from "../lib/words.ts";

const steps = ["PENDING", "MONITORING", "FUSING", "FUSED"] as const satisfies readonly HostState[];

/** Draws it; a degraded host stands at its last known step, marked as not heard. */
export function LifeCycle({ host }: { readonly host: { readonly state: HostState; readonly lastKnownState: HostState } }) {
	const isLost = host.state === "DEGRADED";
	const here = steps.indexOf((isLost ? host.lastKnownState : host.state) as (typeof steps)[number]);
	return (
		<section class="life" aria-label="Life cycle">
			<ol>
				{steps.map((state, index) => {
					const place = index < here ? "past" : index === here ? (isLost ? "here lost" : "here") : "ahead";
					return (
						<li key={state} class={`${place} ${state.toLowerCase()}`} aria-current={index === here ? "step" : undefined}>
							<i aria-hidden="true" />
							<b>{states[state].label}</b>
							<span>{states[state].means}</span>
							{index === here && isLost ? <em>Degraded: not heard for a while</em> : null}
						</li>
					);
				})}
			</ol>
		</section>
	);
}
