import type { PortainerConfig } from "./config-portainer.ts";
import type { Db } from "./db/port.ts";
import type { Bus } from "./events/port.ts";
import type { Hasher } from "./keys/hasher.ts";
import type { Vault } from "./keys/vault.ts";
import type { Clock } from "./lib/clock.ts";
import type { IdMint } from "./lib/id.ts";
import type { Log } from "./lib/log.ts";
import type { Secret } from "./lib/secret.ts";
import type { Random } from "./lib/random.ts";
import type { Mesh } from "./mesh/port.ts";
import type { Metrics } from "./metrics/port.ts";

/** Everything the domain needs from outside; made once in main.ts, handed down, never imported. */
export interface Deps {
	readonly db: Db;
	readonly bus: Bus;
	readonly hasher: Hasher;
	readonly vault: Vault;
	readonly clock: Clock;
	readonly random: Random;
	readonly mintId: IdMint;
	readonly log: Log;
	readonly metrics: Metrics;
	readonly mesh: Mesh;
	readonly settings: Settings;
}

/** The part of the configuration that the domain acts on. */
export interface Settings {
	readonly externalWorkers: boolean;
	readonly autoEnrollmentAlertHours: number;
	readonly heartbeatSeconds: number;
	readonly staleSeconds: number;
	/** Where workers are told to go after enrollment; null: where they enrolled. */
	readonly serverAddress: string | null;
	/** Where workers reach this server, as a URL. Known once it listens. */
	publicUrl(): string;
	/** The cluster's secret for host tokens; null: they answer not_configured. */
	readonly sharedSecret: Secret | null;
	/** Whether webhooks may be sent to addresses that are not public. Default false. */
	readonly webhookPrivateAddresses: boolean;
	/** How long fusing a host may take before it is given up. */
	readonly fuseDeadlineSeconds: number;
	/** The Portainer that hosts may be fused through; null: none. */
	readonly portainer: PortainerConfig | null;
}
