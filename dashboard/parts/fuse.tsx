/** Fusing a host: an admin's deliberate step, with its warning, its progress and why it came to nothing. */
import { useState } from "preact/hooks";
import { send } from "../api/client.ts";
import type { ResultOf, VariablesOf } from "../api/graphql.ts";
import { may } from "../api/session.ts";
import { fuseMutation, unfuseMutation } from "../operations/containers.ts";
import type { hostQuery } from "../operations/host.ts";
import { Ago, Choice } from "./bits.tsx";
import { Confirm } from "./dialog.tsx";

type Host = NonNullable<ResultOf<typeof hostQuery>["host"]>;
type Provider = NonNullable<VariablesOf<typeof fuseMutation>["provider"]>;

const providers = [
	["DOCKER", "Its own Docker Engine"],
	["PORTAINER", "Portainer"],
] as const satisfies readonly (readonly [Provider, string])[];

const steps: Readonly<Record<NonNullable<Host["fusion"]>["step"], string>> = {
	PROVE: "The worker proves that it controls the host's Docker Engine",
	REGISTER: "The host is registered with Portainer",
	DEPLOY: "The worker starts Portainer's agent",
	CONNECT: "Portainer reaches for the host",
	CHECK_IN: "Portainer waits for its agent to check in",
	GRANT: "Container actions are granted",
	FUSED: "Done",
	REMOVE_AGENT: "Portainer's agent is taken off the host",
	REMOVE_ENVIRONMENT: "The host is taken out of Portainer",
	ENDED: "Ended",
};

/** The button that fuses or unfuses, for admins, where the host's state allows it. */
export function FuseButton({ host, changed }: { readonly host: Host; readonly changed: () => void }) {
	const [open, setOpen] = useState(false);
	const [provider, choose] = useState<Provider>("DOCKER");
	const life = host.state === "DEGRADED" ? host.lastKnownState : host.state;
	if (!may("admin") || life === "PENDING" || (life === "MONITORING" && host.state === "DEGRADED")) return null;
	const isFusing = life === "MONITORING";
	return (
		<>
			<button type="button" class={isFusing ? "primary" : ""} onClick={() => setOpen(true)}>
				{isFusing ? "Fuse" : life === "FUSING" ? "Stop fusing" : "Unfuse"}
			</button>
			{open ? (
				<Confirm
					title={isFusing ? `Fuse ${host.name}?` : `Unfuse ${host.name}?`}
					action={isFusing ? "Fuse" : "Unfuse"}
					danger={!isFusing}
					close={() => setOpen(false)}
					work={() => (isFusing ? send(fuseMutation, { id: host.id, provider }) : send(unfuseMutation, { id: host.id }))}
					done={changed}
				>
					{isFusing ? (
						<>
							<p class="caution">
								<b>From then on containers on this host can be made, stopped and removed from here</b>, by every admin of this tenant.
								Whoever controls Docker controls the machine.
							</p>
							<p>The host proves first which engine it has, and that engine is pinned. What is not done by the deadline is undone.</p>
							<Choice label="By" of={providers} value={provider} choose={choose} />
						</>
					) : (
						"Container actions are taken back, and all that fusing did is undone. The containers go on; the host is monitored as before."
					)}
				</Confirm>
			) : null}
		</>
	);
}

/** How fusing goes on, or why the last try came to nothing; nothing else to say, nothing shown. */
export function Fusion({ host }: { readonly host: Host }) {
	const { fusion } = host;
	if (fusion === null || fusion.outcome === "UNFUSED" || fusion.outcome === "CANCELLED" || fusion.step === "FUSED") return null;
	if (fusion.endedAt === null) {
		return (
			<p class="fusion" role="status">
				<i class="dot" aria-hidden="true" /> {steps[fusion.step]}
				<span class="quiet">
					{" "}
					given up <Ago at={fusion.deadlineAt} />
				</span>
				{fusion.lastError === null ? null : <span class="todo"> {fusion.lastError}</span>}
			</p>
		);
	}
	return (
		<div class="problem">
			<code>{fusion.failureSource ?? fusion.outcome}</code>
			<p>
				Fusing came to nothing <Ago at={fusion.endedAt} />: {fusion.failureMessage ?? fusion.lastError ?? "the host is monitored as before"}
			</p>
		</div>
	);
}
