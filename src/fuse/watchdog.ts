/**
 * What goes on with fusions beside their commands, in each server process: the deadline, steps that a server does itself (Portainer), and fusions
 * whose host or engine is no more what it was. All of it stands in the database, so any server goes on with what another began.
 */
import { clearInterval, setInterval } from "node:timers";
import type { Deps } from "../deps.ts";
import { lockHosts } from "../hosts/store.ts";
import { within } from "../lib/within.ts";
import { applyToFusion, type Happening } from "./apply.ts";
import { type FusionRecord, isFusing } from "./fusion.ts";
import type { FuseProviderPort, StepResult } from "./port.ts";
import { portainerProvider } from "./portainer.ts";
import { claimStep, expiredFusions, type FusionRef, lockFusion, putBackStep, reportedEngine, strayFusions } from "./store.ts";

/** The watchdog of one server process. */
export interface FuseWatchdog {
	/** Looks once, and waits for what it found. Calls while it looks share the look. */
	look(): Promise<void>;
	/** Takes nothing more, cuts off what is under way and gives it back. Safe to repeat. */
	close(): Promise<void>;
}

const pollMs = 500;
/** Strays need a join over every fused host: once in so many looks. */
const strayEvery = 4;
const batchMax = 100;
/** Steps under way at once: each is one question to Portainer. */
const stepsMax = 8;
/** Longer than a step takes: its calls have 15 s each, the first through the proxy 30 s. */
const leaseSeconds = 90;
const stepMs = 75_000;
const closeMs = 2_000;

/** Starts it. A database that is away is asked again at the next look. */
export function openFuseWatchdog(deps: Deps): FuseWatchdog {
	const closing = new AbortController();
	const underWay = new Set<Promise<void>>();
	const provider = deps.settings.portainer === null ? undefined : portainerProvider(deps.settings.portainer);
	let looking: Promise<void> | undefined;
	let looks = 0;

	async function claim(): Promise<void> {
		while (underWay.size < stepsMax && !closing.signal.aborted) {
			const fusion = await claimStep(deps.db.sql, leaseSeconds);
			if (fusion === undefined) return;
			const work = takeStep(deps, provider, fusion, closing.signal)
				.catch((error: unknown) => deps.log.warn("fuse.step_failed", { fusionId: fusion.id, step: fusion.step, error }))
				.finally(() => underWay.delete(work));
			underWay.add(work);
		}
	}

	async function work(): Promise<void> {
		await expireFusions(deps);
		if (looks++ % strayEvery === 0) await undoStrays(deps);
		await claim();
	}

	function look(): Promise<void> {
		if (closing.signal.aborted) return Promise.resolve();
		looking ??= work()
			.catch((error: unknown) => deps.log.warn("fuse.look_failed", { error }))
			.finally(() => {
				looking = undefined;
			});
		return looking;
	}

	const timer = setInterval(() => void look(), pollMs);
	return {
		look,
		async close() {
			clearInterval(timer);
			closing.abort(new Error("The server stops"));
			await looking;
			// What cannot be given back is taken up when its lease ends.
			await within(Promise.all(underWay), closeMs);
		},
	};
}

/** Gives up fusions whose time is over (H11), each once however many servers notice it. Returns how many this one did. */
export async function expireFusions(deps: Deps): Promise<number> {
	let ended = 0;
	for (const ref of await expiredFusions(deps.db.sql, batchMax)) {
		const done = await happenToOne(deps, ref, (fusion) => {
			if (!isFusing(fusion)) return undefined;
			const seconds = Math.round((fusion.deadlineAt - fusion.startedAt) / 1_000);
			const last = fusion.lastError === null ? "" : `: ${fusion.lastError}`;
			const message = `it was still at ${fusion.step} after ${seconds} s (MUSTER_FUSE_DEADLINE_SECONDS)${last}`;
			return { event: { kind: "failed", source: "watchdog_timeout", message }, actor: "server" };
		});
		if (done) ended += 1;
	}
	return ended;
}

/** Undoes fusions of hosts that are gone or have another worker, and of engines that are others than the pinned ones. Returns how many. */
export async function undoStrays(deps: Deps): Promise<number> {
	let ended = 0;
	for (const { hostGone, ...ref } of await strayFusions(deps.db.sql, batchMax)) {
		const why = hostGone ? "host-gone" : "engine-changed";
		if (await happenToOne(deps, ref, () => ({ event: { kind: "undo", why }, actor: "server" }))) ended += 1;
	}
	return ended;
}

/** The same of one among many: what fails is logged and holds back its own fusion only. */
async function happenToOne(deps: Deps, ref: FusionRef, decide: (fusion: FusionRecord) => Happening | undefined): Promise<boolean> {
	try {
		return await happen(deps, ref, decide);
	} catch (error) {
		deps.log.warn("fuse.not_ended", { fusionId: ref.id, hostId: ref.hostId, error });
		return false;
	}
}

/** Locks the host, then the fusion, and applies what `decide` says of it as it is then. Whether something came of it. */
async function happen(
	deps: Deps,
	{ tenantId, id, hostId }: FusionRef,
	decide: (fusion: FusionRecord) => Happening | undefined,
): Promise<boolean> {
	return deps.db.tx(async (tx) => {
		await lockHosts(tx, [hostId]);
		const fusion = await lockFusion(tx, tenantId, id);
		const happening = fusion && decide(fusion);
		return fusion !== undefined && happening !== undefined && (await applyToFusion(deps, tx, fusion, happening)) !== undefined;
	});
}

/** Does a claimed step and records what it came to, unless the fusion went on without it: then what the step made is taken back. */
async function takeStep(deps: Deps, provider: FuseProviderPort | undefined, fusion: FusionRecord, closing: AbortSignal): Promise<void> {
	const { sql } = deps.db;
	const signal = AbortSignal.any([closing, AbortSignal.timeout(stepMs)]);
	let result: StepResult;
	try {
		const context = { reportedEngine: () => reportedEngine(sql, fusion.tenantId, fusion.hostId) };
		result = provider === undefined ? withoutPortainer : await provider.step(fusion, context, signal);
	} catch (error) {
		await putBackStep(sql, fusion, 0, closing.aborted ? null : String(error));
		return;
	}
	if (result.kind === "wait") {
		if (result.error !== null) deps.log.debug("fuse.step_waits", { fusionId: fusion.id, step: fusion.step, why: result.error });
		return putBackStep(sql, fusion, result.afterSeconds, result.error);
	}
	const { event, agent } = result;
	let left: number | undefined;
	await happen(deps, fusion, (now) => {
		left = undefined;
		if (now.step === fusion.step && now.attempts === fusion.attempts)
			return { event, actor: "server", ...(agent === undefined ? {} : { agent }) };
		// Undone while it was being made: who undoes it may have looked for it before it was there.
		if (event.kind === "registered" && now.outcome !== null && now.environmentId === null) left = event.environmentId;
		return undefined;
	});
	if (left !== undefined) await provider?.forget(left, signal);
	await putBackStep(sql, fusion, 0, null);
}

const withoutPortainer: StepResult = {
	kind: "wait",
	afterSeconds: 5,
	error: "this server has no Portainer: give it MUSTER_PORTAINER_URL and MUSTER_PORTAINER_API_KEY",
};
