/** A question before something that cannot be undone, and secrets that are shown once. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { ApiError } from "../api/client.ts";
import { Problem } from "./bits.tsx";

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

/** Asks first. The action's own word is on the button. */
export function Confirm({
	title,
	action,
	danger = false,
	busy,
	error,
	run,
	close,
	children,
}: {
	readonly title: string;
	readonly action: string;
	readonly danger?: boolean;
	readonly busy: boolean;
	readonly error: ApiError | undefined;
	readonly run: () => void;
	readonly close: () => void;
	readonly children: ComponentChildren;
}) {
	return (
		<Dialog title={title} close={close}>
			<div class="prose">{children}</div>
			<Problem error={error} />
			<div class="buttons">
				<button type="button" onClick={close}>
					Cancel
				</button>
				<button type="button" class={danger ? "danger" : "primary"} disabled={busy} onClick={run}>
					{action}
				</button>
			</div>
		</Dialog>
	);
}
