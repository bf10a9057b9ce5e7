/** Dialogs that deploy a stack and change it, and show what is done meanwhile. */
import { useState } from "preact/hooks";
import { send } from "../api/client.ts";
import { variablesIn } from "../lib/compose.ts";
import { deployStackMutation, redeployStackMutation, removeStackMutation, scaleStackMutation } from "../operations/stacks.ts";
import { Field } from "./bits.tsx";
import { Dialog, FormDialog } from "./dialog.tsx";
import { Output } from "./output.tsx";

interface Change {
	readonly hostId: string;
	readonly name: string;
	/** A command does it from now on. */
	readonly started: (commandId: string) => void;
	readonly close: () => void;
}

/** Deploys a compose file under a name; of a stack there is, the file as it stands is the beginning. */
export function Deploy({
	hostId,
	former,
	started,
	close,
}: {
	readonly hostId: string;
	readonly former: { readonly stack?: { readonly name: string }; readonly compose: string };
	readonly started: (name: string, commandId: string) => void;
	readonly close: () => void;
}) {
	const [name, setName] = useState(former.stack?.name ?? "");
	const [compose, setCompose] = useState(former.compose);
	const [values, setValues] = useState<Readonly<Record<string, string>>>({});
	const variables = variablesIn(compose);
	const isNew = former.stack === undefined;
	return (
		<FormDialog
			title={isNew ? "Deploy a stack" : `Edit ${name}`}
			submit="Deploy"
			close={close}
			wide
			work={async () => {
				const environment = variables.flatMap((key) => (values[key] === undefined ? [] : [{ key, value: values[key] }]));
				const { deployStack } = await send(deployStackMutation, { input: { hostId, name, compose, environment } });
				started(name, deployStack.command.id);
			}}
		>
			{isNew ? (
				<Field label="Name" hint="Lower-case letters, digits, - and _">
					<input required autocomplete="off" spellcheck={false} value={name} onInput={(event) => setName(event.currentTarget.value)} />
				</Field>
			) : null}
			<Field label="Compose file">
				<textarea
					required
					rows={12}
					spellcheck={false}
					placeholder={'services:\n  web:\n    image: nginx:1.29\n    ports: ["8080:80"]'}
					value={compose}
					onInput={(event) => setCompose(event.currentTarget.value)}
				/>
			</Field>
			{variables.length === 0 ? null : (
				<fieldset class="variables">
					<legend>Variables of the file</legend>
					<p class="quiet">
						Kept sealed and shown to nobody{isNew ? "" : ", so give each again"}. One left alone takes the file's default.
					</p>
					<div class="fields">
						{variables.map((key) => (
							<label class="field" key={key}>
								<code>{key}</code>
								<input
									autocomplete="off"
									spellcheck={false}
									value={values[key] ?? ""}
									onInput={(event) => setValues({ ...values, [key]: event.currentTarget.value })}
								/>
							</label>
						))}
					</div>
				</fieldset>
			)}
		</FormDialog>
	);
}

/** Makes the host what the stack says once more. */
export function Redeploy({ hostId, name, started, close }: Change) {
	const [pull, setPull] = useState(false);
	return (
		<FormDialog
			title={`Redeploy ${name}?`}
			submit="Redeploy"
			close={close}
			work={async () => {
				const { redeployStack } = await send(redeployStackMutation, { input: { hostId, name, pull } });
				started(redeployStack.command.id);
			}}
		>
			<p class="prose">Only what differs is made anew; the rest goes on.</p>
			<Check label="Fetch its images first, also those that are there" checked={pull} set={setPull} />
		</FormDialog>
	);
}

/** Brings a service to a number of containers. */
export function Scale({
	hostId,
	name,
	service,
	started,
	close,
}: Change & { readonly service: { readonly name: string; readonly replicas: number } }) {
	const [replicas, setReplicas] = useState(String(service.replicas));
	return (
		<FormDialog
			title={`Scale ${service.name} of ${name}`}
			submit="Scale"
			close={close}
			work={async () => {
				const input = { hostId, name, service: service.name, replicas: Number(replicas) };
				started((await send(scaleStackMutation, { input })).scaleStack.command.id);
			}}
		>
			<Field label="Containers" hint="Until the next deployment of a file">
				<input type="number" min="0" required value={replicas} onInput={(event) => setReplicas(event.currentTarget.value)} />
			</Field>
		</FormDialog>
	);
}

/** Takes a stack off its host. */
export function RemoveStack({ hostId, name, started, close }: Change) {
	const [volumes, setVolumes] = useState(false);
	return (
		<FormDialog
			title={`Remove ${name}?`}
			submit="Remove"
			danger
			close={close}
			work={async () => {
				const { removeStack } = await send(removeStackMutation, { input: { hostId, name, volumes } });
				started(removeStack.command.id);
			}}
		>
			<p class="prose">Its containers and networks go. Its volumes stay, unless you say so.</p>
			<Check label="Also its volumes, with what they hold" checked={volumes} set={setVolumes} />
		</FormDialog>
	);
}

/** What a change does, as it does it, and how it ends. It goes on when the dialog is closed. */
export function Progress({ title, commandId, close }: { readonly title: string; readonly commandId: string; readonly close: () => void }) {
	return (
		<Dialog title={title} close={close} wide>
			<Output id={commandId} />
			<div class="buttons">
				<button type="button" class="primary" onClick={close}>
					Close
				</button>
			</div>
		</Dialog>
	);
}

function Check({ label, checked, set }: { readonly label: string; readonly checked: boolean; readonly set: (checked: boolean) => void }) {
	return (
		<label class="check">
			<input type="checkbox" checked={checked} onChange={(event) => set(event.currentTarget.checked)} />
			{label}
		</label>
	);
}
