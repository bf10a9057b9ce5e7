import type { WorkerPrincipal } from "../auth/principal.ts";
import type { Bus } from "../events/port.ts";
import { closeCodes } from "../protocol/codes.ts";

/** A socket that can be closed with a code. */
export interface Closable {
	close(code: number, reason: string): void;
}

/** The worker sockets open on this server process: one a worker, cut when its credential ends (H9, S4). */
export interface LiveSockets {
	/** Notes a socket; an older one of the same worker is closed as replaced. */
	opened(worker: WorkerPrincipal, socket: Closable): void;
	closed(worker: WorkerPrincipal, socket: Closable): void;
	close(): void;
}

/** Opens the registry; revocations reach it from every server through the bus. */
export function openLiveSockets(bus: Bus): LiveSockets {
	const sockets = new Map<string, { readonly worker: WorkerPrincipal; readonly socket: Closable }>();
	const keyOf = (tenantId: string, workerId: string) => `${tenantId}\n${workerId}`;
	const stop = bus.onEvent(["credentials-revoked"], ({ tenantId, event }) => {
		// A shared API key may be of any worker; revoking one is rare, so looking at every socket then costs nothing that matters.
		const one = event.workerId === null ? undefined : sockets.get(keyOf(tenantId, event.workerId));
		for (const live of event.workerId === null ? sockets.values() : one === undefined ? [] : [one]) {
			if (live.worker.tenantId === tenantId && event.credentialIds.includes(live.worker.credentialId))
				live.socket.close(closeCodes.credentialRevoked, "The worker's credential was revoked");
		}
	});
	return {
		opened(worker, socket) {
			const key = keyOf(worker.tenantId, worker.workerId);
			const former = sockets.get(key);
			sockets.set(key, { worker, socket });
			former?.socket.close(closeCodes.replaced, "Another socket of this worker took over");
		},
		closed(worker, socket) {
			const key = keyOf(worker.tenantId, worker.workerId);
			if (sockets.get(key)?.socket === socket) sockets.delete(key);
		},
		close: stop,
	};
}
