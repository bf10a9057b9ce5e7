/** A question before something that cannot be undone, and secrets that are shown once. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { useAction } from "../api/hooks.ts";
import { Problem, Snippet } from "./bits.tsx";

/** A modal dialog of the browser's own: the focus stays in it, Escape closes it. */
export function Dialog({
	title,
	close,
	children,
	wide = false,
}: {
	readonly title: string;
	readonly close: () => void;
	readonly children: ComponentChildren;
	readonly wide?: boolean;
}) {
	const place = useRef<HTMLDialogElement>(null);
	useEffect(() => {
		place.current?.showModal();
	}, []);
	return (
		<dialog ref={place} class={wide ? "wide" : ""} aria-label={title} onClose={close}>
			<h2>{title}</h2>
			{children}
		</dialog>
	);
}

/** Asks first, then does it and closes; what was refused stays in the dialog. The action's own word is on the button. */
export function Confirm({
	title,
	action,
	danger = false,
	work,
	done = () => {},
	close,
	children,
}: {
	readonly title: string;
	readonly action: string;
	readonly danger?: boolean;
	readonly work: () => Promise<unknown>;
	/** After it was done, with the dialog closed. */
	readonly done?: () => void;
	readonly close: () => void;
	readonly children: ComponentChildren;
}) {
	const { busy, error, run } = useAction();
	async function confirm(): Promise<void> {
		if (!(await run(work))) return;
		close();
		done();
	}
	return (
		<Dialog title={title} close={close}>
			<div class="prose">{children}</div>
			<Problem error={error} />
			<div class="buttons">
				<button type="button" onClick={close}>
					Cancel
				</button>
				<button type="button" class={danger ? "danger" : "primary"} disabled={busy} onClick={() => void confirm()}>
					{action}
				</button>
			</div>
		</Dialog>
	);
}

/** A form in a dialog; it stays open with what was refused. */
export function FormDialog({
	title,
	submit,
	work,
	close,
	children,
	wide = false,
	danger = false,
}: {
	readonly title: string;
	readonly submit: string;
	readonly work: () => Promise<unknown>;
	readonly close: () => void;
	readonly children: ComponentChildren;
	readonly wide?: boolean;
	readonly danger?: boolean;
}) {
	const { busy, error, run } = useAction();
	return (
		<Dialog title={title} close={close} wide={wide}>
			<form
				onSubmit={(event) => {
					event.preventDefault();
					void run(work);
				}}
			>
				{children}
				<Problem error={error} />
				<div class="buttons">
					<button type="button" onClick={close}>
						Cancel
					</button>
					<button type="submit" class={danger ? "danger" : "primary"} disabled={busy}>
						{submit}
					</button>
				</div>
			</form>
		</Dialog>
	);
}

/** A secret, shown once. */
export function Secret({
	title,
	secret,
	label = "The key",
	close,
	children,
}: {
	readonly title: string;
	readonly secret: string;
	readonly label?: string;
	readonly close: () => void;
	readonly children?: ComponentChildren;
}) {
	return (
		<Dialog title={title} close={close}>
			<p class="prose">This is shown here and never again. Copy it now. {children}</p>
			<Snippet text={secret} label={label} />
			<div class="buttons">
				<button type="button" class="primary" onClick={close}>
					Done
				</button>
			</div>
		</Dialog>
	);
}
