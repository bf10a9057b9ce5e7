/** Dialogs that make a site, a site's next key, and an enrollment key. Secrets are shown once. */
import { useState } from "preact/hooks";
import { send } from "../api/client.ts";
import { createKeyMutation, createSiteMutation, rotateMutation } from "../operations/sites.ts";
import { Field } from "./bits.tsx";
import { FormDialog, Secret } from "./dialog.tsx";

interface SiteView {
	readonly code: string;
	readonly key: { readonly fingerprint: string } | null;
}

/** Makes a site. */
export function NewSite({ close }: { readonly close: () => void }) {
	const [code, setCode] = useState("");
	const [name, setName] = useState("");
	const [approval, setApproval] = useState(false);
	return (
		<FormDialog
			title="New site"
			submit="Make it"
			close={close}
			work={async () => {
				const enrollmentPolicy = approval ? "REQUIRE_APPROVAL" : "AUTO_APPROVE";
				await send(createSiteMutation, { input: { code, name: name === "" ? null : name, enrollmentPolicy } });
				close();
			}}
		>
			<Field label="Code" hint="Letters, digits and dashes; hosts name it">
				<input required autocomplete="off" spellcheck={false} value={code} onInput={(event) => setCode(event.currentTarget.value)} />
			</Field>
			<Field label="Name">
				<input autocomplete="off" value={name} onInput={(event) => setName(event.currentTarget.value)} />
			</Field>
			<label class="check">
				<input type="checkbox" checked={approval} onChange={(event) => setApproval(event.currentTarget.checked)} />
				New hosts wait for an operator
			</label>
		</FormDialog>
	);
}

const graces = [
	[0, "The former key ends at once"],
	[3_600, "It goes on for an hour"],
	[86_400, "It goes on for a day"],
	[604_800, "It goes on for a week"],
] as const;

/** Gives a site its next key. */
export function RotateKey({ site, close }: { readonly site: SiteView; readonly close: () => void }) {
	const [grace, setGrace] = useState(0);
	const [made, setMade] = useState<{ readonly secret: string; readonly fingerprint: string }>();
	if (made !== undefined) return <Secret title={`Key ${made.fingerprint} of ${site.code}`} secret={made.secret} close={close} />;
	return (
		<FormDialog
			title={site.key === null ? `The first key of ${site.code}` : `Rotate the key of ${site.code}`}
			submit={site.key === null ? "Make the key" : "Rotate"}
			close={close}
			work={async () => {
				const { rotateSiteKey } = await send(rotateMutation, { siteCode: site.code, graceSeconds: grace === 0 ? null : grace });
				setMade({ secret: rotateSiteKey.secret, fingerprint: rotateSiteKey.key.fingerprint });
			}}
		>
			<p class="prose">Hosts that are here stay, whatever key they came in with.</p>
			{site.key === null ? null : (
				<Field label={`What becomes of ${site.key.fingerprint}`}>
					<select value={grace} onChange={(event) => setGrace(Number(event.currentTarget.value))}>
						{graces.map(([seconds, label]) => (
							<option key={seconds} value={seconds}>
								{label}
							</option>
						))}
					</select>
				</Field>
			)}
		</FormDialog>
	);
}

/** Makes an enrollment key. */
export function MakeKey({ sites, close }: { readonly sites: readonly SiteView[]; readonly close: () => void }) {
	const [name, setName] = useState("");
	const [siteCode, setSite] = useState(sites[0]?.code ?? "");
	const [maxUses, setUses] = useState("100");
	const [hours, setHours] = useState("24");
	const [cidrs, setCidrs] = useState("");
	const [made, setMade] = useState<{ readonly secret: string; readonly name: string }>();
	if (made !== undefined) return <Secret title={`Enrollment key ${made.name}`} secret={made.secret} close={close} />;
	return (
		<FormDialog
			title="New enrollment key"
			submit="Make it"
			close={close}
			work={async () => {
				const allowedCidrs = cidrs.split(/[\s,]+/).filter((cidr) => cidr !== "");
				const input = {
					name,
					siteCode,
					maxUses: Number(maxUses),
					expiresInHours: Number(hours),
					...(allowedCidrs.length === 0 ? {} : { allowedCidrs }),
				};
				const { createEnrollmentKey } = await send(createKeyMutation, { input });
				setMade({ secret: createEnrollmentKey.secret, name });
			}}
		>
			<Field label="Name">
				<input required autocomplete="off" value={name} onInput={(event) => setName(event.currentTarget.value)} />
			</Field>
			<Field label="Site">
				<select value={siteCode} onChange={(event) => setSite(event.currentTarget.value)}>
					{sites.map(({ code }) => (
						<option key={code}>{code}</option>
					))}
				</select>
			</Field>
			<div class="fields">
				<Field label="Uses">
					<input type="number" min="1" required value={maxUses} onInput={(event) => setUses(event.currentTarget.value)} />
				</Field>
				<Field label="Hours">
					<input type="number" min="0.1" step="any" required value={hours} onInput={(event) => setHours(event.currentTarget.value)} />
				</Field>
			</div>
			<Field label="Allowed addresses" hint="CIDRs, with spaces between; anywhere when empty">
				<input autocomplete="off" spellcheck={false} value={cidrs} onInput={(event) => setCidrs(event.currentTarget.value)} />
			</Field>
		</FormDialog>
	);
}
