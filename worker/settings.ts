/** One thing a user can set: by flag, by variable, by a file that holds the value, by a key of the TOML file. */
export interface Setting {
	readonly variable: string;
	/** What `--help` says about it, default included. */
	readonly help: string;
	/** Shown in `--help` in place of the value. */
	readonly placeholder: string;
	/** Whether a `_FILE` twin exists; not for settings that are a file's path themselves. */
	readonly twin: boolean;
	/** Never shown, and kept only where others cannot read it. */
	readonly secret?: true;
	/** What holds when nothing is set, for `--print-config`. */
	readonly fallback?: string;
}

/** Every setting of the worker (DESIGN.md, Names that users and scripts rely on). */
const table = {
	url: { variable: "MUSTER_URL", placeholder: "URL", twin: true, help: "where to enroll, used once: http(s)://host:port" },
	serverAddr: {
		variable: "MUSTER_SERVER_ADDR",
		fallback: "what the enroll reply says, else MUSTER_URL",
		placeholder: "ADDRESS",
		twin: true,
		help: "where to report afterwards (default: what the enroll reply says, else MUSTER_URL)",
	},
	enrollToken: {
		variable: "MUSTER_ENROLL_TOKEN",
		secret: true,
		placeholder: "KEY",
		twin: true,
		help: "the key that lets this host in: mst_site_…, mst_enroll_… or mst_host_…",
	},
	siteCode: { variable: "MUSTER_SITE_CODE", placeholder: "CODE", twin: true, help: "the site of a site key" },
	autoEnrollmentKey: {
		variable: "MUSTER_AUTO_ENROLLMENT_KEY",
		secret: true,
		placeholder: "TEXT",
		twin: true,
		help: "in place of a key: the tenant's auto-enrollment secret, which is proven and never sent",
	},
	tenant: {
		variable: "MUSTER_TENANT",
		fallback: "default",
		placeholder: "NAME",
		twin: true,
		help: "the tenant of a site key or an auto-enrollment secret (default)",
	},
	sharedSecret: {
		variable: "MUSTER_SHARED_SECRET",
		secret: true,
		placeholder: "TEXT",
		twin: true,
		help: "the cluster's secret, with a host token",
	},
	workerId: {
		variable: "MUSTER_WORKER_ID",
		placeholder: "ID",
		twin: true,
		help: "with an API key: run as this worker, without enrolling; else the id to ask for when enrolling",
	},
	workerApiKey: { variable: "MUSTER_WORKER_API_KEY", secret: true, placeholder: "KEY", twin: true, help: "the API key of that worker" },
	workerName: {
		variable: "MUSTER_WORKER_NAME",
		placeholder: "NAME",
		twin: true,
		help: "this worker's name, needed to enroll (alias: MUSTER_NODE_NAME, --node-name)",
	},
	nodeName: { variable: "MUSTER_NODE_NAME", placeholder: "NAME", twin: true, help: "" },
	labels: { variable: "MUSTER_LABELS", placeholder: "K=V,K=V", twin: true, help: "labels to enroll with" },
	stateDir: {
		variable: "MUSTER_STATE_DIR",
		fallback: "/var/lib/muster, or ~/.muster without rights to it",
		placeholder: "PATH",
		twin: true,
		help: "where the credential is kept (default: /var/lib/muster, or ~/.muster without rights to it)",
	},
	machineIdFile: {
		variable: "MUSTER_MACHINE_ID_FILE",
		placeholder: "PATH",
		twin: false,
		help: "take the machine's identity from this file alone (containers and tests)",
	},
	meshMode: {
		variable: "MUSTER_MESH_MODE",
		fallback: "userspace, once the enroll reply brings a mesh key",
		placeholder: "MODE",
		twin: true,
		help: "how to be on the mesh: userspace, tun, host (this host's own Tailscale) or off (userspace)",
	},
	meshStateDir: {
		variable: "MUSTER_MESH_STATE_DIR",
		fallback: "mesh in the state directory",
		placeholder: "PATH",
		twin: true,
		help: "where the mesh client keeps its login (default: mesh in the state directory)",
	},
	meshSocket: {
		variable: "MUSTER_MESH_SOCKET",
		fallback: "/var/run/tailscale/tailscaled.sock",
		placeholder: "PATH",
		twin: true,
		help: "with the mode host: the socket of this host's tailscaled (/var/run/tailscale/tailscaled.sock)",
	},
	tailscale: {
		variable: "MUSTER_TAILSCALE",
		fallback: "tailscale on the PATH",
		placeholder: "PATH",
		twin: true,
		help: "the program tailscale (default: on the PATH)",
	},
	tailscaled: {
		variable: "MUSTER_TAILSCALED",
		fallback: "tailscaled on the PATH",
		placeholder: "PATH",
		twin: true,
		help: "the program tailscaled (default: on the PATH)",
	},
	metricsPort: {
		variable: "MUSTER_METRICS_PORT",
		fallback: "9100",
		placeholder: "PORT",
		twin: true,
		help: "where Prometheus reads this worker's metrics, or off (9100)",
	},
	dockerSocket: {
		variable: "MUSTER_DOCKER_SOCKET",
		fallback: "DOCKER_HOST, else /var/run/docker.sock",
		placeholder: "PATH|off",
		twin: true,
		help: "where Docker listens, or off to do without it (default: DOCKER_HOST, else /var/run/docker.sock)",
	},
	logFormat: {
		variable: "MUSTER_LOG_FORMAT",
		fallback: "text",
		placeholder: "text|json",
		twin: true,
		help: "form of the log lines (text)",
	},
	logLevel: {
		variable: "MUSTER_LOG_LEVEL",
		fallback: "info",
		placeholder: "LEVEL",
		twin: true,
		help: "debug, info, warn or error (info)",
	},
} as const satisfies Record<string, Setting>;

export type SettingName = keyof typeof table;

/** Every setting by its name. */
export const settings: Readonly<Record<SettingName, Setting>> = table;

/** The settings' names, in the order of `--help`. */
export const settingNames = Object.keys(table) as readonly SettingName[];

/** A variable's flag: `MUSTER_WORKER_NAME` is `--worker-name`. */
export function flagOf(variable: string): string {
	return `--${variable
		.replace(/^MUSTER_/, "")
		.toLowerCase()
		.replaceAll("_", "-")}`;
}

/** A variable's key in the TOML file: `MUSTER_WORKER_NAME` is `worker_name`. */
export function keyOf(variable: string): string {
	return variable.replace(/^MUSTER_/, "").toLowerCase();
}

/** Variables that mean something to Muster, though not to this worker: never reported as a slip of the pen. */
export const foreignVariables: readonly string[] = [
	"MUSTER_DATA_DIR",
	"MUSTER_LISTEN",
	"MUSTER_API_LISTEN",
	"MUSTER_METRICS_LISTEN",
	"MUSTER_PUBLIC_URL",
	"MUSTER_WORKER_DIST",
	"MUSTER_WEBHOOK_PRIVATE_ADDRESSES",
	"MUSTER_AUTO_ENROLLMENT_ALERT_HOURS",
	"MUSTER_MASTER_KEY_FORMER",
	"MUSTER_JWT_SECRET",
	"MUSTER_MASTER_KEY",
	"MUSTER_OIDC_ISSUER",
	"MUSTER_OIDC_AUDIENCE",
	"MUSTER_EXTERNAL_WORKERS",
	"MUSTER_HEARTBEAT_SECONDS",
	"MUSTER_STALE_SECONDS",
	"MUSTER_RATE_LIMIT",
	"MUSTER_LOCKOUT",
	"MUSTER_TRUSTED_PROXIES",
	"MUSTER_MESH",
	"MUSTER_FUSE_DEADLINE_SECONDS",
	"MUSTER_EVENT_BUS",
];
