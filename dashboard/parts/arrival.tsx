/** Waits on the page until a host comes in by the line that was made for it, and shows each refusal as it happens. */
import { useEffect } from "preact/hooks";
import type { ApiError } from "../api/client.ts";
import { useCalm, useLive, useQuery } from "../api/hooks.ts";
import { href } from "../lib/route.ts";
import type { Attempt, HostState } from "../lib/words.ts";
import { arrivalQuery, keyArrivalQuery, oneHostSubscription } from "../operations/host.ts";
import { attemptSubscription } from "../operations/overview.ts";
import { Attempts } from "./attempts.tsx";
import { Ago, Badge, Problem } from "./bits.tsx";

/** A line, and by what it lets in: a host's token, or an enrollment key of one use. */
export type MadeLine =
	| { readonly by: "token"; readonly name: string; readonly snippet: string; readonly hostId: string }
	| { readonly by: "key"; readonly name: string; readonly snippet: string; readonly keyId: string; readonly siteCode: string };

interface Seen {
	/** Null: it was deleted; undefined: not seen yet. */
	readonly host: { readonly id: string; readonly name: string; readonly state: HostState } | null | undefined;
	readonly isHeld: boolean;
	readonly endsAt: string | null;
	readonly attempts: readonly Attempt[];
	readonly error: ApiError | undefined;
}

/** Tells once when it is here. */
export function Arrival({ made, arrived }: { readonly made: MadeLine; readonly arrived: () => void }) {
	return made.by === "token" ? <ByToken made={made} arrived={arrived} /> : <ByKey made={made} arrived={arrived} />;
}

function ByToken({ made, arrived }: { readonly made: MadeLine & { readonly by: "token" }; readonly arrived: () => void }) {
	const { data, error, reload } = useQuery(arrivalQuery, { id: made.hostId });
	const soon = useCalm(reload);
	useLive(oneHostSubscription, { ids: [made.hostId] }, soon);
	useLive(attemptSubscription, {}, soon);
	const host = data?.host;
	const attempts = host?.recentAttempts ?? [];
	const isHeld = attempts[0] !== undefined && attempts[0].reason === null && !attempts[0].accepted;
	return <Wait name={made.name} seen={{ host, isHeld, endsAt: host?.tokenExpiresAt ?? null, attempts, error }} arrived={arrived} />;
}

function ByKey({ made, arrived }: { readonly made: MadeLine & { readonly by: "key" }; readonly arrived: () => void }) {
	const { data, error, reload } = useQuery(keyArrivalQuery, { keyId: made.keyId, siteCode: made.siteCode });
	const soon = useCalm(reload);
	useLive(attemptSubscription, {}, soon);
	const worker = data?.workers.nodes[0];
	// Ids begin with their time: what came before the key was made is not about it.
	const isSince = ({ id }: Attempt) => id.slice(id.indexOf("_")) > made.keyId.slice(made.keyId.indexOf("_"));
	const attempts = (data?.enrollmentAttempts.nodes ?? []).filter((attempt) => attempt.claimedName === made.name && isSince(attempt));
	const host = worker?.host ?? undefined;
	return <Wait name={made.name} seen={{ host, isHeld: worker?.state === "PENDING", endsAt: null, attempts, error }} arrived={arrived} />;
}

function Wait({ name, seen, arrived }: { readonly name: string; readonly seen: Seen; readonly arrived: () => void }) {
	const { host, isHeld, endsAt, attempts, error } = seen;
	const isHere = host != null && host.state !== "PENDING";
	// Told once
	useEffect(() => {
		if (isHere) arrived();
	}, [isHere]);
	return (
		<div class="arrival">
			<div role="status">
				{isHere ? (
					<p class="arrived">
						<Badge state={host.state} /> <strong>{host.name}</strong> is here. <a href={href(["hosts", host.id])}>Look at it</a>
					</p>
				) : host === null ? (
					<p>The host was deleted meanwhile.</p>
				) : isHeld ? (
					<p>
						It came and is held. <a href={href(["claims"])}>Decide about it</a>
					</p>
				) : (
					<p class="waiting">
						<i aria-hidden="true" /> Waiting for {name}…{" "}
						{endsAt === null ? null : (
							<span class="quiet">
								its token ends <Ago at={endsAt} />
							</span>
						)}
					</p>
				)}
			</div>
			<Problem error={error} />
			{attempts.length === 0 ? null : <Attempts list={attempts} named={false} />}
		</div>
	);
}
