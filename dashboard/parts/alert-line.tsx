import type { ComponentChildren } from "preact";
import { href } from "../lib/route.ts";
import { Ago } from "./bits.tsx";

interface AlertView {
	readonly id: string;
	readonly at: string;
	readonly kind: string;
	readonly severity: string;
	readonly message: string;
	readonly host: { readonly id: string; readonly name: string } | null;
}

/** One alert with what it is about. */
export function AlertLine({ alert, children }: { readonly alert: AlertView; readonly children?: ComponentChildren }) {
	return (
		<li class={`alert ${alert.severity}`}>
			<div>
				<p>
					<span class={`severity ${alert.severity}`}>{alert.severity}</span>
					<code>{alert.kind}</code>
					<Ago at={alert.at} />
				</p>
				<p class="message">{alert.message}</p>
				{alert.host === null ? null : (
					<p>
						<a href={href(["hosts", alert.host.id])}>{alert.host.name}</a>
					</p>
				)}
			</div>
			{children}
		</li>
	);
}
