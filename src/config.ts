import { absent, isSet, notAvailable, type ReadFile, readVariables, unknownVariables } from "./config-env.ts";
import {
	addressField,
	base64KeyField,
	base64KeysField,
	cidrsField,
	type Field,
	issuerField,
	lockoutField,
	meshTagsField,
	meshUserField,
	oneOf,
	postgresUrlField,
	secondsField,
	secretField,
	serverAddressField,
	switchField,
	textField,
	urlField,
	wholeNumberField,
} from "./config-fields.ts";
import { type PortainerConfig, portainerOf, portainerProblems } from "./config-portainer.ts";
import { meshConfig, meshProblems } from "./config-mesh.ts";
import type { HeadscaleConfig } from "./mesh/headscale.ts";
import type { LogFormat, LogLevel } from "./lib/log.ts";
import type { Secret } from "./lib/secret.ts";
import { formatListenAddress, isWildcard, type ListenAddress } from "./lib/address.ts";
import type { Retention } from "./retention.ts";

/** The server's configuration, parsed once from the environment (DESIGN.md, server variables) and frozen. */
export interface Config {
	readonly dataDir: string;
	/** Where the compiled workers lie; undefined: `dist` of this checkout. */
	readonly workerDist: string | undefined;
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
	/** Master keys from before rotations: they open what they sealed, nothing new is sealed under them. */
	readonly formerMasterKeys: readonly Secret[];
	/** `clientId`: the public client of the dashboard; undefined: it offers no sign-in there. */
	readonly oidc: { readonly issuer: string; readonly audience: string; readonly clientId: string | undefined } | undefined;
	/** The cluster's secret for host tokens; undefined: they answer not_configured. */
	readonly sharedSecret: Secret | undefined;
	/** The auto-enrollment secret of the default tenant, when it comes from the environment. */
	readonly autoEnrollmentKey: Secret | undefined;
	/** How long auto-enrollment may be on before that raises an alert (A19). */
	readonly autoEnrollmentAlertHours: number;
	readonly externalWorkers: boolean;
	readonly heartbeatSeconds: number;
	readonly staleSeconds: number;
	/** Refused attempts a minute per scope and source. */
	readonly rateLimitPerMinute: number;
	readonly lockout: { readonly failures: number; readonly seconds: number };
	/** The mesh that host tokens let onto; undefined: none. */
	readonly mesh: HeadscaleConfig | undefined;
	/** Whether webhooks may be sent to addresses that are not public. */
	readonly webhookPrivateAddresses: boolean;
	/** How long fusing a host may take before it is given up (H11). */
	readonly fuseDeadlineSeconds: number;
	/** Undefined: hosts are fused by Docker alone. */
	readonly portainer: PortainerConfig | undefined;
	/** CIDRs whose X-Forwarded-For is believed. */
	readonly trustedProxies: readonly string[];
	readonly introspection: boolean;
	/** How long records are kept. */
	readonly retention: Retention;
	readonly log: { readonly level: LogLevel; readonly format: LogFormat };
}

export type ConfigResult =
	| { readonly ok: true; readonly config: Config }
	/** Each names the variable, its value (never a secret's) and the remedy. */
	| { readonly ok: false; readonly problems: readonly string[] };

const fields = {
	DATABASE_URL: postgresUrlField(),
	DATABASE_DIRECT_URL: postgresUrlField(),
	MUSTER_DATA_DIR: textField("a directory"),
	MUSTER_WORKER_DIST: textField("the directory that holds the compiled workers"),
	MUSTER_LISTEN: addressField(),
	MUSTER_API_LISTEN: addressField(),
	MUSTER_METRICS_LISTEN: addressField(),
	MUSTER_PUBLIC_URL: urlField(),
	MUSTER_SERVER_ADDR: serverAddressField(),
	MUSTER_JWT_SECRET: secretField(32),
	MUSTER_MASTER_KEY: base64KeyField(32),
	MUSTER_MASTER_KEY_FORMER: base64KeysField(32),
	MUSTER_OIDC_ISSUER: issuerField(),
	MUSTER_OIDC_AUDIENCE: textField("the audience its tokens carry"),
	MUSTER_OIDC_CLIENT_ID: textField("the public client that the dashboard signs people in with"),
	MUSTER_SHARED_SECRET: secretField(32),
	MUSTER_AUTO_ENROLLMENT_KEY: secretField(32),
	MUSTER_AUTO_ENROLLMENT_ALERT_HOURS: wholeNumberField(1, 8_760, "hours"),
	MUSTER_EXTERNAL_WORKERS: switchField(),
	MUSTER_HEARTBEAT_SECONDS: secondsField(1, 3_600),
	MUSTER_STALE_SECONDS: secondsField(2, 86_400),
	MUSTER_RATE_LIMIT: wholeNumberField(1, 1_000_000, "refused attempts a minute"),
	MUSTER_LOCKOUT: lockoutField(),
	MUSTER_TRUSTED_PROXIES: cidrsField(),
	MUSTER_WEBHOOK_PRIVATE_ADDRESSES: switchField(),
	MUSTER_FUSE_DEADLINE_SECONDS: secondsField(1, 3_600),
	MUSTER_PORTAINER_URL: urlField(),
	MUSTER_PORTAINER_API_KEY: secretField(8),
	MUSTER_PORTAINER_EDGE_URL: urlField(),
	MUSTER_PORTAINER_AGENT_IMAGE: textField("an image, for example portainer/agent:2.33.5"),
	MUSTER_PORTAINER_INSECURE_TLS: switchField(),
	MUSTER_MESH: oneOf(["none", "headscale"]),
	MUSTER_HEADSCALE_URL: urlField(),
	MUSTER_HEADSCALE_API_KEY: secretField(16),
	MUSTER_HEADSCALE_USER: meshUserField(),
	MUSTER_HEADSCALE_TAGS: meshTagsField(),
	MUSTER_HEADSCALE_PUBLIC_URL: urlField(),
	MUSTER_EVENT_BUS: oneOf(["postgres"], ["nats"]),
	MUSTER_INTROSPECTION: switchField(),
	MUSTER_RETENTION_ATTEMPTS_DAYS: wholeNumberField(1, 36_500, "days"),
	MUSTER_RETENTION_ATTEMPTS_MAX: wholeNumberField(1_000, 1_000_000_000, "attempts"),
	MUSTER_RETENTION_AUDIT_DAYS: wholeNumberField(1, 36_500, "days"),
	MUSTER_RETENTION_ALERTS_DAYS: wholeNumberField(1, 36_500, "days"),
	MUSTER_LOG_LEVEL: oneOf(["debug", "info", "warn", "error"]),
	MUSTER_LOG_FORMAT: oneOf(["text", "json"]),
} satisfies Record<string, Field<unknown>>;

/** Documented variables of parts that this version does not have; a value for one would be ignored, so it stops the start. */
const later = ["NATS_URL"] as const;

/**
 * Parses the environment. Pure but for `readFile`, which `_FILE` twins need. Every problem is reported at once;
 * an empty value counts as unset.
 */
export function parseConfig(env: Readonly<Record<string, string | undefined>>, readFile: ReadFile): ConfigResult {
	const problems: string[] = [];
	const values = readVariables(fields, env, readFile, problems);
	problems.push(...notAvailable(later, env), ...unknownVariables([...Object.keys(fields), ...later], env));

	const heartbeatSeconds = values.MUSTER_HEARTBEAT_SECONDS ?? 15;
	const staleSeconds = values.MUSTER_STALE_SECONDS ?? 90;
	if (staleSeconds <= heartbeatSeconds) {
		problems.push(
			`MUSTER_STALE_SECONDS is ${staleSeconds}: make it more than MUSTER_HEARTBEAT_SECONDS (${heartbeatSeconds}), best several times as much`,
		);
	}
	problems.push(...absent(env, "MUSTER_OIDC_ISSUER", "MUSTER_OIDC_AUDIENCE"), ...absent(env, "MUSTER_OIDC_AUDIENCE", "MUSTER_OIDC_ISSUER"));
	problems.push(...absent(env, "MUSTER_OIDC_CLIENT_ID", "MUSTER_OIDC_ISSUER"));
	problems.push(...absent(env, "DATABASE_DIRECT_URL", "DATABASE_URL"));
	const { MUSTER_API_LISTEN: api } = values;
	if (api !== undefined && isWildcard(api.hostname) && !isSet(env, "MUSTER_SERVER_ADDR")) {
		problems.push(
			`MUSTER_SERVER_ADDR is not given: MUSTER_API_LISTEN "${formatListenAddress(api)}" is no address that workers can be told, set it to one`,
		);
	}
	problems.push(...absent(env, "MUSTER_PORTAINER_URL", "MUSTER_PORTAINER_API_KEY"));
	for (const name of ["API_KEY", "EDGE_URL", "AGENT_IMAGE", "INSECURE_TLS"])
		problems.push(...absent(env, `MUSTER_PORTAINER_${name}`, "MUSTER_PORTAINER_URL"));
	problems.push(...portainerProblems(values));
	problems.push(...meshProblems(env, values.MUSTER_MESH));
	if (problems.length > 0) return { ok: false, problems };

	const databaseUrl = values.DATABASE_URL;
	const { MUSTER_OIDC_ISSUER: issuer, MUSTER_OIDC_AUDIENCE: audience, MUSTER_OIDC_CLIENT_ID: clientId } = values;
	const config: Config = {
		dataDir: values.MUSTER_DATA_DIR ?? "./data",
		workerDist: values.MUSTER_WORKER_DIST,
		database: databaseUrl === undefined ? undefined : { url: databaseUrl, directUrl: values.DATABASE_DIRECT_URL ?? databaseUrl },
		listen: values.MUSTER_LISTEN ?? { hostname: "127.0.0.1", port: 7480 },
		apiListen: values.MUSTER_API_LISTEN,
		metricsListen: values.MUSTER_METRICS_LISTEN ?? { hostname: "127.0.0.1", port: 7490 },
		publicUrl: values.MUSTER_PUBLIC_URL,
		serverAddr: values.MUSTER_SERVER_ADDR,
		jwtSecret: values.MUSTER_JWT_SECRET,
		masterKey: values.MUSTER_MASTER_KEY,
		formerMasterKeys: Object.freeze(values.MUSTER_MASTER_KEY_FORMER ?? []),
		oidc: issuer === undefined || audience === undefined ? undefined : Object.freeze({ issuer, audience, clientId }),
		sharedSecret: values.MUSTER_SHARED_SECRET,
		autoEnrollmentKey: values.MUSTER_AUTO_ENROLLMENT_KEY,
		autoEnrollmentAlertHours: values.MUSTER_AUTO_ENROLLMENT_ALERT_HOURS ?? 24,
		externalWorkers: values.MUSTER_EXTERNAL_WORKERS ?? true,
		heartbeatSeconds,
		staleSeconds,
		rateLimitPerMinute: values.MUSTER_RATE_LIMIT ?? 10,
		lockout: Object.freeze(values.MUSTER_LOCKOUT ?? { failures: 10, seconds: 900 }),
		trustedProxies: Object.freeze(values.MUSTER_TRUSTED_PROXIES ?? []),
		mesh: meshConfig(values),
		webhookPrivateAddresses: values.MUSTER_WEBHOOK_PRIVATE_ADDRESSES ?? false,
		fuseDeadlineSeconds: values.MUSTER_FUSE_DEADLINE_SECONDS ?? 120,
		portainer: portainerOf(values),
		introspection: values.MUSTER_INTROSPECTION ?? true,
		retention: Object.freeze({
			attemptsDays: values.MUSTER_RETENTION_ATTEMPTS_DAYS ?? 90,
			attemptsMax: values.MUSTER_RETENTION_ATTEMPTS_MAX ?? 5_000_000,
			auditDays: values.MUSTER_RETENTION_AUDIT_DAYS ?? 400,
			alertsDays: values.MUSTER_RETENTION_ALERTS_DAYS ?? 90,
		}),
		log: Object.freeze({ level: values.MUSTER_LOG_LEVEL ?? "info", format: values.MUSTER_LOG_FORMAT ?? "text" }),
	};
	return { ok: true, config: Object.freeze(config) };
}
