import { clearInterval, setInterval } from "node:timers";
import type { Deps } from "../deps.ts";
import type { RealMesh } from "./port.ts";
import { forgetEndedKeys, reapKeys } from "./reaper.ts";
import { meshWatch } from "./watch.ts";

/** How often keys that are to end are looked for: one look in an index. */
const reapMs = 1_000;
/** How often the mesh is asked how it is. */
const probeMs = 5_000;
/** How often keys that ended long ago are looked through. */
const forgetMs = 3_600_000;

/** Starts the mesh's timed work in one server process; several may do it at once. Returns what stops it. */
export function startMeshWork(deps: Pick<Deps, "db" | "clock" | "mintId" | "log">, mesh: RealMesh): () => Promise<void> {
	const watch = meshWatch(deps, mesh);
	const works = [
		every(reapMs, () => reapKeys(deps, mesh)),
		every(probeMs, () => watch.look()),
		every(forgetMs, () => forgetEndedKeys(deps, mesh)),
	];

	/** Runs at once and then again and again, never beside itself; a failure is logged, the next time it may work. */
	function every(periodMs: number, work: () => Promise<unknown>): () => Promise<void> {
		let running: Promise<void> | undefined;
		const run = () => {
			running ??= work()
				.then(
					() => {},
					(error: unknown) => deps.log.warn("mesh.work_failed", { error }),
				)
				.finally(() => {
					running = undefined;
				});
		};
		const timer = setInterval(run, periodMs);
		run();
		return async () => {
			clearInterval(timer);
			await running;
		};
	}

	return async () => {
		// What waits for the mesh is cut off: it is all done again by another server, or at the next start.
		await mesh.close();
		await Promise.all(works.map((stop) => stop()));
	};
}
