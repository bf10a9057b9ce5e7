/** The dialog that makes a webhook; its secret is shown once. */
import { useState } from "preact/hooks";
import { send } from "../api/client.ts";
import { alertKinds } from "../lib/words.ts";
import { createWebhookMutation } from "../operations/webhooks.ts";
import { Field } from "./bits.tsx";
import { FormDialog, Secret } from "./dialog.tsx";

/** Makes one for the kinds of alert that are ticked; for all when none is. */
export function NewWebhook({ close }: { readonly close: () => void }) {
	const [url, setUrl] = useState("");
	const [description, setDescription] = useState("");
	const [kinds, setKinds] = useState<readonly string[]>([]);
	const [secret, setSecret] = useState<string>();
	if (secret !== undefined) {
		return (
			<Secret title="The webhook's secret" label="The secret" secret={secret} close={close}>
				Its receiver checks by it that a message is ours.
			</Secret>
		);
	}
	return (
		<FormDialog
			title="New webhook"
			submit="Make it"
			close={close}
			work={async () => {
				const input = { url, description: description === "" ? null : description, kinds: kinds.length === 0 ? null : [...kinds] };
				setSecret((await send(createWebhookMutation, { input })).createWebhook.secret);
			}}
		>
			<Field label="URL" hint="http or https, at an address of the internet; redirects are not followed">
				<input
					required
					type="url"
					autocomplete="off"
					spellcheck={false}
					placeholder="https://hooks.example.net/muster"
					value={url}
					onInput={(event) => setUrl(event.currentTarget.value)}
				/>
			</Field>
			<Field label="Description">
				<input autocomplete="off" maxLength={200} value={description} onInput={(event) => setDescription(event.currentTarget.value)} />
			</Field>
			<fieldset>
				<legend>Which alerts</legend>
				<p class="quiet">Every alert when none is ticked.</p>
				<div class="ticks">
					{alertKinds.map((kind) => (
						<label key={kind} class="check">
							<input
								type="checkbox"
								checked={kinds.includes(kind)}
								onChange={(event) => setKinds(event.currentTarget.checked ? [...kinds, kind] : kinds.filter((one) => one !== kind))}
							/>
							<code>{kind}</code>
						</label>
					))}
				</div>
			</fieldset>
		</FormDialog>
	);
}
