import type { EventKind, HeartbeatSignal, TenantEvent } from "./event.ts";

/**
 * Carries events and heartbeats to every server process. Events come from the outbox: at least once, in order per process, none lost
 * while the process lives. Heartbeats are best effort.
 */
export interface Bus {
	/** Calls back for each event of these kinds that any server process commits from now on. What nobody here listens for is not read. */
	onEvent<Kind extends EventKind>(kinds: readonly Kind[], listener: (event: TenantEvent<Kind>) => void): Unsubscribe;
	/** Calls back for each heartbeat that any server process received. */
	readonly onHeartbeat: (listener: (heartbeats: readonly HeartbeatSignal[]) => void) => Unsubscribe;
	/** Hands heartbeats to every process, this one included. */
	publishHeartbeats(heartbeats: readonly HeartbeatSignal[]): Promise<void>;
	close(): Promise<void>;
}

export type Unsubscribe = () => void;

/** The NOTIFY channel of the outbox: its payload is empty, it only says that there is something to read. */
export const eventChannel = "muster_events";
/** The NOTIFY channel that heartbeats travel on between processes. */
export const heartbeatChannel = "muster_heartbeats";
