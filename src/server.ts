import { randomUUID } from "node:crypto";
import { join, resolve } from "node:path";
import { createAuthenticator } from "./auth/authenticate.ts";
import type { Principal } from "./auth/principal.ts";
import { tenantBySlug } from "./auth/store.ts";
import { applyEnvironment } from "./auto-enrollment/auto-enrollment.ts";
import { tokenVerifier } from "./auth/tokens.ts";
import { openCommandHub } from "./commands/hub.ts";
import type { Config } from "./config.ts";
import { openDb } from "./db/client.ts";
import { startEmbedded } from "./db/embedded.ts";
import { migrate } from "./db/migrate.ts";
import type { Deps } from "./deps.ts";
import { createEnroller } from "./enrollment/enroll.ts";
import { createLimiter } from "./enrollment/limiter.ts";
import { createProver } from "./enrollment/prove.ts";
import { openPostgresBus } from "./events/postgres-bus.ts";
import { followWorkers } from "./fuse/docker.ts";
import { openFuseRunner } from "./fuse/runner.ts";
import { openFuseWatchdog } from "./fuse/watchdog.ts";
import { createContext, type GraphQLContext, sharingOf } from "./graphql/context.ts";
import { schema } from "./graphql/schema.ts";
import { createApp } from "./http/app.ts";
import { createDashboard } from "./http/dashboard.ts";
import { createDistribution } from "./http/distribution.ts";
import { enrollOnlyMessage } from "./http/enroll-only.ts";
import { metricsHandler } from "./http/metrics.ts";
import { createSockets } from "./http/socket.ts";
import { startHousekeeping } from "./housekeeping.ts";
import { containerStatsKeeper } from "./inventory/stats.ts";
import { openHasher } from "./keys/hasher.ts";
import { checkSealed } from "./keys/reseal.ts";
import { openVault } from "./keys/vault.ts";
import { formatListenAddress, type ListenAddress } from "./lib/address.ts";
import { systemClock } from "./lib/clock.ts";
import { idMint } from "./lib/id.ts";
import type { Log } from "./lib/log.ts";
import { systemRandom } from "./lib/random.ts";
import { within } from "./lib/within.ts";
import type { Secret } from "./lib/secret.ts";
import { openHeadscale } from "./mesh/headscale.ts";
import { noMesh } from "./mesh/none.ts";
import { startMeshWork } from "./mesh/work.ts";
import { withAfterCommit } from "./metrics/after-commit.ts";
import { createMetrics } from "./metrics/registry.ts";
import { commandsDocument } from "./protocol/commands.ts";
import { enrollDocument, heartbeatDocument } from "./protocol/operations.ts";
import type { Listener, RequestInfo, Runtime } from "./runtime/port.ts";
import { generatedKeys, keptSecret, makeDataDir } from "./secrets.ts";
import { openDeliverer } from "./webhooks/deliver.ts";
import { followStackCommands } from "./stacks/stacks.ts";
import { fromHeaders, socketHooks } from "./sign-in.ts";
import { openHeartbeats } from "./workers/heartbeats.ts";
import { openLiveSockets } from "./workers/live-sockets.ts";

/** A running server process. */
export interface Server {
	/** Where workers and people reach it: the LAN listener's address as a URL, or MUSTER_PUBLIC_URL. */
	readonly url: string;
	/** Where everything but enrolling is answered: `url`, unless MUSTER_API_LISTEN is set. */
	readonly apiUrl: string;
	readonly metricsUrl: string;
	readonly deps: Deps;
	readonly jwtSecret: Secret;
	/** Drains and stops: no new work, requests in flight are answered, heartbeats written, the embedded database stopped. */
	stop(): Promise<void>;
}

/** Where `npm run build:worker` leaves the workers. */
const distDir = join(import.meta.dirname, "..", "dist");
const migrationsDir = join(import.meta.dirname, "..", "migrations");
const bodyBytesMax = 1024 * 1024;
const stopMs = 5_000;

/** Opens everything in order and undoes it in reverse when a step fails. */
export async function openServer(config: Config, runtime: Runtime, log: Log): Promise<Server> {
	const undo: (() => unknown)[] = [];
	async function stop(): Promise<void> {
		for (const step of undo.splice(0).reverse()) {
			await Promise.resolve(step()).catch((error: unknown) => log.warn("server.stop_failed", { error }));
		}
	}
	try {
		return { ...(await open(config, runtime, log, undo)), stop };
	} catch (error) {
		await stop();
		throw error;
	}
}

async function open(config: Config, runtime: Runtime, log: Log, undo: (() => unknown)[]): Promise<Omit<Server, "stop">> {
	const dataDir = resolve(config.dataDir);
	await makeDataDir(dataDir);
	const jwtSecret = config.jwtSecret ?? (await keptSecret(dataDir, "jwt-secret", systemRandom));
	const keys =
		config.masterKey === undefined
			? await generatedKeys(dataDir, systemRandom)
			: { current: config.masterKey, former: config.formerMasterKeys };
	const metrics = createMetrics();
	const database = config.database ?? (await embedded(dataDir, log, undo));
	const applied = await migrate({ directUrl: database.directUrl, dir: migrationsDir, log });
	if (applied > 0) log.info("database.migrated", { applied });
	const db = withAfterCommit(openDb({ ...database, log, applicationName: "muster" }));
	undo.push(() => db.close(stopMs));
	const bus = await openPostgresBus({ db, clock: systemClock, log, metrics, processId: randomUUID() });
	undo.push(() => bus.close());

	const place = { url: config.publicUrl ?? urlOf(config.listen), serverAddress: config.serverAddr ?? null };
	const mesh = config.mesh === undefined ? noMesh : openHeadscale(config.mesh, { clock: systemClock, log, metrics });
	const deps: Deps = {
		db,
		bus,
		metrics,
		log,
		clock: systemClock,
		random: systemRandom,
		mintId: idMint(systemClock, systemRandom),
		mesh,
		hasher: openHasher(metrics),
		vault: openVault(keys.current, keys.former, systemRandom),
		settings: {
			externalWorkers: config.externalWorkers,
			autoEnrollmentAlertHours: config.autoEnrollmentAlertHours,
			heartbeatSeconds: config.heartbeatSeconds,
			staleSeconds: config.staleSeconds,
			get serverAddress() {
				return place.serverAddress;
			},
			sharedSecret: config.sharedSecret ?? null,
			publicUrl: () => place.url,
			webhookPrivateAddresses: config.webhookPrivateAddresses,
			fuseDeadlineSeconds: config.fuseDeadlineSeconds,
			portainer: config.portainer ?? null,
		},
	};
	await checkSealed(deps);
	const defaultTenant = await tenantBySlug(db.sql, "default");
	if (defaultTenant !== undefined) await applyEnvironment(deps, defaultTenant, config.autoEnrollmentKey?.reveal());
	const heartbeats = openHeartbeats(deps);
	undo.push(() => heartbeats.close());
	undo.push(followStackCommands());
	undo.push(followWorkers());
	const commands = await openCommandHub(deps);
	const works = [commands, openFuseRunner(deps, commands), openFuseWatchdog(deps), openDeliverer(deps)].map((work) => () => work.close());
	works.push(startHousekeeping(deps, config.retention));
	if (mesh.provider !== "none") works.push(startMeshWork(deps, mesh));
	if (mesh.provider !== "none" && config.serverAddr === undefined && config.apiListen === undefined)
		log.warn("mesh.no_server_address", {
			remedy: "set MUSTER_SERVER_ADDR to this server's address on the mesh: hosts go on with the LAN address they enrolled at",
		});
	// What waits for a database that is away is cut off with it.
	undo.push(() => within(Promise.allSettled(works.map((stop) => stop())), stopMs));
	const limiter = createLimiter(systemClock, { refusalsPerMinute: config.rateLimitPerMinute, lockout: config.lockout });
	const prover = createProver(deps);
	const parts = {
		deps,
		heartbeats,
		commands,
		containerStats: containerStatsKeeper(deps),
		prover,
		enroller: createEnroller(deps, prover, limiter),
	};
	const authenticator = createAuthenticator(deps, tokenVerifier(jwtSecret, systemClock, config.oidc));

	const distribution = createDistribution({ dist: resolve(config.workerDist ?? distDir), publicUrl: () => place.url });
	const dashboard = createDashboard({ dir: join(distDir, "dashboard"), oidc: config.oidc });
	const app = createApp<Principal, GraphQLContext>({
		schema,
		config,
		log,
		random: systemRandom,
		metricsHook: metrics.httpRequest,
		extraRoutes: (request, pathname) => dashboard(request, pathname) ?? distribution(request, pathname),
		...(config.apiListen === undefined ? {} : { enrollOnly: enrollOnlyMessage(config.apiListen, config.serverAddr) }),
		known: [enrollDocument, heartbeatDocument],
		knownSubscriptions: [commandsDocument],
		createContext: async (scope) =>
			createContext({ ...parts, ...scope, principal: scope.principal ?? (await fromHeaders(authenticator, scope)) }),
		ready: async () => {
			const away = await db.ping(1_500).then(
				() => undefined,
				() => "PostgreSQL does not answer",
			);
			const database = { name: "database", ok: away === undefined, reason: away };
			// All servers see the same mesh, and only host tokens need it: a load balancer that sent them nobody would make one outage two.
			return mesh.provider === "none" ? [database] : [database, { name: "mesh", ...mesh.state(), optional: true }];
		},
	});
	const live = openLiveSockets(bus);
	undo.push(() => live.close());
	const sockets = createSockets<Principal, GraphQLContext>({ app, share: sharingOf, ...socketHooks(deps, authenticator, live) });

	const listeners: Listener[] = [];
	const onFault = (error: unknown) => log.error("http.fault", { error });
	undo.push(async () => {
		app.endStreams();
		await Promise.all(listeners.map((listener) => listener.stop(stopMs)));
	});
	const whole = { fetch: (request: Request, info: RequestInfo) => app.fetch(request, info), sockets, bodyBytesMax, onFault };
	const enrollOnly = { fetch: (request: Request, info: RequestInfo) => app.fetchEnrollOnly(request, info), bodyBytesMax, onFault };
	// H5: where the API has a listener of its own, the other is for new machines and knows nothing else.
	const lan = config.apiListen === undefined ? whole : enrollOnly;
	listeners.push(await listenAs("MUSTER_LISTEN", config.listen, (listen) => runtime.serve({ ...lan, listen })));
	const api = config.apiListen && (await listenAs("MUSTER_API_LISTEN", config.apiListen, (listen) => runtime.serve({ ...whole, listen })));
	if (api !== undefined) listeners.push(api);
	place.serverAddress ??= api === undefined ? null : formatListenAddress(api.address);
	const metricsListener = await listenAs("MUSTER_METRICS_LISTEN", config.metricsListen, (listen) =>
		runtime.serve({ listen, fetch: metricsHandler(metrics), bodyBytesMax: 1_024, onFault }),
	);
	listeners.push(metricsListener);
	const [first] = listeners;
	place.url = config.publicUrl ?? urlOf(first === undefined ? config.listen : first.address);
	const apiUrl = api === undefined ? place.url : urlOf(api.address);
	return { url: place.url, apiUrl, metricsUrl: `${urlOf(metricsListener.address)}/metrics`, deps, jwtSecret };
}

/** Opens a listener; a taken port is an error that names the address, the variable and the remedy. */
async function listenAs(variable: string, listen: ListenAddress, serve: (listen: ListenAddress) => Promise<Listener>): Promise<Listener> {
	try {
		return await serve(listen);
	} catch (error) {
		const why = error instanceof Error ? error.message : String(error);
		const where = formatListenAddress(listen);
		throw new Error(`Cannot listen on ${where}: ${why}; free the port, or set ${variable} to another address`, { cause: error });
	}
}

async function embedded(dataDir: string, log: Log, undo: (() => unknown)[]) {
	const database = await startEmbedded({ dataDir, log });
	undo.push(() => database.stop());
	return { url: database.url, directUrl: database.url };
}

function urlOf({ hostname, port }: { readonly hostname: string; readonly port: number }): string {
	const host = hostname === "0.0.0.0" ? "127.0.0.1" : hostname === "::" ? "[::1]" : hostname.includes(":") ? `[${hostname}]` : hostname;
	return `http://${host}:${port}`;
}
