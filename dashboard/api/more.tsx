/** Lists that grow by a button. */
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

interface PageOf<T> {
	readonly nodes: readonly T[];
	readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string | null };
}

/** The first page and those asked for after it; begins anew when the first one changes. */
export function useMore<T>(
	first: PageOf<T> | undefined,
	read: (after: string) => Promise<PageOf<T>>,
): { readonly nodes: readonly T[]; readonly button: JSX.Element | null } {
	const [pages, setPages] = useState<readonly PageOf<T>[]>([]);
	const [busy, setBusy] = useState(false);
	// A new first page makes the later ones old
	useEffect(() => setPages([]), [first]);
	const last = pages.at(-1) ?? first;
	async function load(after: string): Promise<void> {
		setBusy(true);
		try {
			const page = await read(after);
			setPages((before) => [...before, page]);
		} finally {
			setBusy(false);
		}
	}
	const cursor = last?.pageInfo.endCursor;
	const button =
		last?.pageInfo.hasNextPage === true && cursor != null ? (
			<p class="more">
				<button type="button" disabled={busy} onClick={() => void load(cursor).catch(() => {})}>
					Show more
				</button>
			</p>
		) : null;
	return { nodes: [...(first?.nodes ?? []), ...pages.flatMap((page) => page.nodes)], button };
}
