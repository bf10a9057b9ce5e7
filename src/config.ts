import type { Secret } from "./lib/secret.ts";
import type { LogFormat, LogLevel } from "./lib/log.ts";
import type { ListenAddress } from "./runtime/port.ts";

/** The server's configuration, parsed once from the environment (DESIGN.md, server variables) and frozen. */
export interface Config {
	readonly dataDir: string;
	/** Unset: the embedded PostgreSQL. */
	readonly database: { readonly url: Secret; readonly directUrl: Secret } | undefined;
	readonly listen: ListenAddress;
	/** Where steady state and admin answer; undefined: on `listen`. */
	readonly apiListen: ListenAddress | undefined;
	readonly metricsListen: ListenAddress;
	readonly publicUrl: string | undefined;
	readonly serverAddr: string | undefined;
	/** Undefined: generated once into the data directory. */
	readonly jwtSecret: Secret | undefined;
	readonly masterKey: Secret | undefined;
	readonly oidc: { readonly issuer: string; readonly audience: string } | undefined;
	readonly externalWorkers: boolean;
	readonly heartbeatSeconds: number;
	readonly staleSeconds: number;
	/** Refused attempts a minute per scope and source. */
	readonly rateLimitPerMinute: number;
	readonly lockout: { readonly failures: number; readonly seconds: number };
	/** CIDRs whose X-Forwarded-For is believed. */
	readonly trustedProxies: readonly string[];
	readonly introspection: boolean;
	readonly log: { readonly level: LogLevel; readonly format: LogFormat };
}
