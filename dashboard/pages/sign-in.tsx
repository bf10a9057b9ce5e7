import { useEffect, useState } from "preact/hooks";
import { ApiError, send } from "../api/client.ts";
import { beginSignIn, finishSignIn, oidcSettings } from "../api/oidc.ts";
import { readToken, type Session, signedOutBecause, signIn } from "../api/session.ts";
import { whoQuery } from "../operations/session.ts";
import { Field, Problem } from "../parts/bits.tsx";

/** Signs in with an admin token, or with the configured issuer. */
export function SignIn() {
	const oidc = oidcSettings();
	const [token, setToken] = useState("");
	const [busy, setBusy] = useState(false);
	const [error, setError] = useState<ApiError>();

	async function attempt(work: () => Promise<Session | undefined>): Promise<void> {
		setBusy(true);
		setError(undefined);
		try {
			const found = await work();
			if (found === undefined) return;
			await send(whoQuery, {}, found.token);
			signIn(found);
		} catch (fault) {
			setError(fault instanceof ApiError ? fault : new ApiError("SIGN_IN", fault instanceof Error ? fault.message : String(fault)));
		} finally {
			setBusy(false);
		}
	}

	async function pasted(): Promise<Session> {
		const found = readToken(token.trim());
		if (found !== undefined) return found;
		throw new Error("This is no admin token: copy the whole line that npm run token prints, or the content of the file admin-token");
	}

	// Once, when the issuer sends somebody back
	useEffect(() => void attempt(() => finishSignIn(oidc)), []);

	return (
		<main class="sign-in">
			<div class="card">
				<p class="brand-large">
					<img src={document.querySelector<HTMLLinkElement>('link[rel="icon"]')?.href} alt="" width="36" height="36" />
					muster
				</p>
				<h1>Sign in</h1>
				{signedOutBecause.value === undefined ? null : (
					<p class="notice" role="status">
						{signedOutBecause.value}
					</p>
				)}
				{oidc === undefined ? null : (
					<>
						<button type="button" class="primary wide" disabled={busy} onClick={() => void attempt(() => beginSignIn(oidc))}>
							Sign in with {new URL(oidc.issuer).host}
						</button>
						<p class="or">or with a token</p>
					</>
				)}
				<form
					onSubmit={(event) => {
						event.preventDefault();
						void attempt(pasted);
					}}
				>
					<Field label="Admin token" hint="Kept in this tab only, forgotten when you close it">
						<input
							type="password"
							autocomplete="off"
							spellcheck={false}
							value={token}
							required
							onInput={(event) => setToken(event.currentTarget.value)}
						/>
					</Field>
					<Problem error={error} />
					<button type="submit" class={oidc === undefined ? "primary wide" : "wide"} disabled={busy}>
						Sign in
					</button>
				</form>
				<p class="quiet">
					<code>npm start</code> says in which file the first token is; <code>npm run token -- --role viewer</code> prints another.
				</p>
			</div>
		</main>
	);
}
