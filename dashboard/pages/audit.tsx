import { useEffect, useRef, useState } from "preact/hooks";
import { send } from "../api/client.ts";
import { useQuery } from "../api/hooks.ts";
import { useMore } from "../api/more.tsx";
import { whole } from "../lib/figures.ts";
import { href, route, setParams } from "../lib/route.ts";
import { auditQuery } from "../operations/audit.ts";
import { Ago, Empty, Head, Problem } from "../parts/bits.tsx";
import { TableHead } from "../parts/table.tsx";

/** Who did what to what, and when. */
export function Audit() {
	const { search = "" } = route.value.params;
	const { data, error, reload } = useQuery(auditQuery, { search });
	const more = useMore(data?.auditLog, async (after) => (await send(auditQuery, { search, after })).auditLog);
	return (
		<>
			<Head title="Audit" note={data === undefined ? undefined : `${whole(data.auditLog.totalCount)} ${search === "" ? "lines" : "found"}`}>
				<button type="button" onClick={reload}>
					Read again
				</button>
			</Head>
			<Search search={search} />
			<Problem error={error} />
			{data?.auditLog.totalCount === 0 ? (
				<Empty title={search === "" ? "Nothing happened yet" : `No line holds “${search}”`}>
					{search === ""
						? "Every change and every attempt to come in is written here."
						: "Words are found by their beginning: of an action, an actor, an id or a name."}
				</Empty>
			) : (
				<div class="scroll">
					<table class="audit">
						<TableHead titles={["When", "Who", "Did what", "To what", "More"]} />
						<tbody>
							{more.nodes.map((entry) => (
								<tr key={entry.id}>
									<td>
										<Ago at={entry.at} />
									</td>
									<td>{entry.actor}</td>
									<td>
										<code>{entry.action}</code>
									</td>
									<td class="id">
										{entry.subject.startsWith("host_") ? <a href={href(["hosts", entry.subject])}>{entry.subject}</a> : entry.subject}
									</td>
									<td class="detail">{details(entry.detail)}</td>
								</tr>
							))}
						</tbody>
					</table>
				</div>
			)}
			{more.button}
		</>
	);
}

function Search({ search }: { readonly search: string }) {
	const [text, setText] = useState(search);
	const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
	useEffect(() => setText(search), [search]);
	return (
		<form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
			<input
				type="search"
				aria-label="Search the audit log"
				placeholder="rotated, operator:alice, edge-7, host_01…"
				value={text}
				onInput={(event) => {
					const { value } = event.currentTarget;
					setText(value);
					clearTimeout(timer.current);
					timer.current = setTimeout(() => setParams({ search: value }), 300);
				}}
			/>
		</form>
	);
}

function details(detail: unknown): string {
	if (typeof detail !== "object" || detail === null) return "";
	return Object.entries(detail)
		.filter(([, value]) => value !== null)
		.map(([name, value]) => `${name} ${typeof value === "string" ? value : JSON.stringify(value)}`)
		.join(" · ");
}
