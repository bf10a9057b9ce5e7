/** What an admin may do to a host. */
import { useState } from "preact/hooks";
import { send } from "../api/client.ts";
import { useAction, useQuery } from "../api/hooks.ts";
import { may } from "../api/session.ts";
import { href } from "../lib/route.ts";
import { deleteHostMutation, regenerateMutation, revokeWorkerMutation, waysInQuery } from "../operations/host.ts";
import type { SnippetFormat } from "../lib/words.ts";
import { Choice, Problem, Snippet } from "./bits.tsx";
import { Confirm, Dialog } from "./dialog.tsx";

interface HostView {
	readonly id: string;
	readonly name: string;
	readonly worker: { readonly id: string; readonly state: string } | null;
}

export const formats = [
	["SHELL", "Shell, systemd"],
	["DOCKER", "docker run"],
	["COMPOSE", "Compose"],
] as const satisfies readonly (readonly [SnippetFormat, string])[];

/** Regenerate, revoke, delete; nothing for those who may not. */
export function HostActions({ host, changed }: { readonly host: HostView; readonly changed: () => void }) {
	const [open, setOpen] = useState<"token" | "revoke" | "delete">();
	if (!may("admin")) return null;
	const close = () => setOpen(undefined);
	const { worker } = host;
	return (
		<>
			<button type="button" onClick={() => setOpen("token")}>
				New install line
			</button>
			{worker?.state === "ACTIVE" ? (
				<button type="button" onClick={() => setOpen("revoke")}>
					Revoke worker
				</button>
			) : null}
			<button type="button" class="danger" onClick={() => setOpen("delete")}>
				Delete
			</button>
			{open === "token" ? <Regenerate host={host} close={close} changed={changed} /> : null}
			{open === "revoke" && worker !== null ? (
				<Confirm
					title={`Revoke the worker of ${host.name}?`}
					action="Revoke"
					danger
					close={close}
					work={() => send(revokeWorkerMutation, { id: worker.id })}
					done={changed}
				>
					It is cut off at once. Its machine stays out until the worker is deleted.
				</Confirm>
			) : null}
			{open === "delete" ? (
				<Confirm
					title={`Delete ${host.name}?`}
					action="Delete"
					danger
					close={close}
					work={() => send(deleteHostMutation, { id: host.id })}
					done={() => {
						location.hash = href(["hosts"]);
					}}
				>
					The host, its worker and its tokens go; the worker is cut off. The machine may enroll anew with a key.
				</Confirm>
			) : null}
		</>
	);
}

function Regenerate({ host, close, changed }: { readonly host: HostView; readonly close: () => void; readonly changed: () => void }) {
	const [format, setFormat] = useState<SnippetFormat>("SHELL");
	const [snippet, setSnippet] = useState<string>();
	const ways = useQuery(waysInQuery, {});
	const action = useAction();
	return (
		<Dialog title={`New install line for ${host.name}`} close={close}>
			{ways.data?.tenant.takesHostTokens === false ? (
				<NoTokens close={close} />
			) : snippet === undefined ? (
				<>
					<p class="prose">
						Ends the host's unused tokens and makes a new one, for one use within 24 hours. A worker that runs goes on until the new one
						comes in.
					</p>
					<Choice label="Format" of={formats} value={format} choose={setFormat} />
					<Problem error={action.error} />
					<div class="buttons">
						<button type="button" onClick={close}>
							Cancel
						</button>
						<button
							type="button"
							class="primary"
							disabled={action.busy || ways.data === undefined}
							onClick={() =>
								void action.run(async () => {
									const { regenerateHostToken } = await send(regenerateMutation, { id: host.id, format });
									setSnippet(regenerateHostToken.snippet);
									changed();
								})
							}
						>
							Make it
						</button>
					</div>
				</>
			) : (
				<>
					<p class="prose">Paste this on the machine. It holds a secret and is shown here only.</p>
					<Snippet text={snippet} label="Install line" />
					<div class="buttons">
						<button type="button" class="primary" onClick={close}>
							Done
						</button>
					</div>
				</>
			)}
		</Dialog>
	);
}

/** No line that the server would refuse: what to set, and the way in that works as it is. */
function NoTokens({ close }: { readonly close: () => void }) {
	return (
		<>
			<p class="caution">
				This server has no MUSTER_SHARED_SECRET, so it takes no host tokens: set that variable there, 32 characters or more, and restart it.
			</p>
			<p class="prose">
				Until then <a href={href(["hosts", "add"])}>a line with an enrollment key</a> lets a machine in; one that was here before comes back
				as the host it was.
			</p>
			<div class="buttons">
				<button type="button" class="primary" onClick={close}>
					Close
				</button>
			</div>
		</>
	);
}
