/** The server's entry: `serve` (default) and `token`. The only place that reads the environment and ends the process. */
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { roles } from "./auth/principal.ts";
import { isTenantSlug, mintAdminToken } from "./auth/tokens.ts";
import { type Config, parseConfig } from "./config.ts";
import { isKnownDriverFault } from "./db/client.ts";
import { systemClock } from "./lib/clock.ts";
import { type Log, openLog } from "./lib/log.ts";
import { systemRandom } from "./lib/random.ts";
import { exitCodes } from "./protocol/codes.ts";
import { firstSite, quickStart } from "./quick-start.ts";
import { rotateMasterKey } from "./rotate-master-key.ts";
import type { Runtime } from "./runtime/port.ts";
import { selectRuntime } from "./runtime/select.ts";
import { keptSecret, makeDataDir, writePrivate } from "./secrets.ts";
import { openServer, type Server } from "./server.ts";

const root = join(import.meta.dirname, "..");
/** How long the admin token in the data directory is valid; each start writes a new one. */
const adminTokenHours = 30 * 24;

const runtime = await selectRuntime();
await main(runtime);

async function main(chosen: Runtime): Promise<void> {
	const [command = "serve", ...args] = process.argv.slice(2);
	if (command === "serve") return serve(chosen, config());
	if (command === "token") return token(chosen, config(), args);
	if (command === "rotate-master-key") return rotate(chosen, config());
	fail(exitCodes.usage, `Unknown command "${command}": the commands are serve, token and rotate-master-key`);
}

function config(): Config {
	const result = parseConfig(process.env, (path) => readFileSync(path, "utf8"));
	if (result.ok) return result.config;
	fail(
		exitCodes.config,
		["Muster cannot start, its configuration is wrong:", ...result.problems.map((problem) => `  ${problem}`)].join("\n"),
	);
}

async function serve(chosen: Runtime, settings: Config): Promise<void> {
	const log = openLog(settings.log, (line) => process.stderr.write(`${line}\n`));
	chosen.onUncaught((error) => {
		if (isKnownDriverFault(error)) {
			log.debug("db.driver_fault", { error });
			return true;
		}
		log.error("process.fault", { error });
		return false;
	});
	let server: Promise<Server> | undefined;
	let stopping = false;
	chosen.onSignal((signal) => {
		// A terminal and npm may both send it.
		if (stopping) return;
		stopping = true;
		log.info("server.stopping", { signal });
		void (server ?? Promise.resolve(undefined))
			.then((running) => running?.stop())
			.then(
				() => chosen.exit(exitCodes.ok),
				() => chosen.exit(exitCodes.software),
			);
	});
	try {
		server = openServer(settings, chosen, log);
		const running = await server;
		if (stopping) return;
		await announce(running, settings, chosen, log);
	} catch (error) {
		if (stopping) return;
		log.debug("server.start_failed", { error });
		fail(exitCodes.unavailable, `Muster cannot start: ${error instanceof Error ? error.message : String(error)}`);
	}
}

/** Says where everything is, in the form to copy it from. */
async function announce(server: Server, settings: Config, chosen: Runtime, log: Log): Promise<void> {
	const dataDir = resolve(settings.dataDir);
	const tokenFile = join(dataDir, "admin-token");
	await writePrivate(
		tokenFile,
		await mintAdminToken(server.jwtSecret, systemClock, {
			role: "admin",
			tenant: "default",
			subject: "local-admin",
			hours: adminTokenHours,
		}),
	);
	const keyFile = settings.database === undefined ? await quickStart(server.deps, dataDir) : undefined;
	const enroll =
		keyFile === undefined
			? `rotateSiteKey on ${server.apiUrl}/graphql gives a key; then: npm run worker -- --url ${server.url} --site-code CODE --worker-name ${quote(hostname())} --enroll-token KEY`
			: `npm --prefix ${quote(root)} run --silent worker -- --url ${server.url} --site-code ${firstSite} --worker-name ${quote(hostname())} --enroll-token-file ${quote(keyFile)}`;
	const lines = [
		`Muster is up (${chosen.name} ${chosen.version}, ${settings.database === undefined ? "embedded PostgreSQL" : "PostgreSQL at DATABASE_URL"})`,
		`  Dashboard              ${server.apiUrl}/`,
		`  GraphQL and GraphiQL   ${server.apiUrl}/graphql`,
		`  Metrics                ${server.metricsUrl}`,
		`  Admin token            ${tokenFile}`,
		"  Enroll this machine    (paste into another terminal)",
		`    ${enroll}`,
	];
	process.stdout.write(`${lines.join("\n")}\n`);
	log.info("server.started", { url: server.url, runtime: chosen.name });
}

/** Prints one admin token and nothing else. Needs no running server: only its secret. */
async function token(chosen: Runtime, settings: Config, args: readonly string[]): Promise<void> {
	const wanted = tokenArguments(args);
	const dataDir = resolve(settings.dataDir);
	if (settings.jwtSecret === undefined) await makeDataDir(dataDir);
	const secret = settings.jwtSecret ?? (await keptSecret(dataDir, "jwt-secret", systemRandom));
	process.stdout.write(`${await mintAdminToken(secret, systemClock, wanted)}\n`, () => chosen.exit(exitCodes.ok));
}

/** Seals the database's secrets anew and says how many. */
async function rotate(chosen: Runtime, settings: Config): Promise<void> {
	try {
		const line = await rotateMasterKey(
			settings,
			openLog(settings.log, (text) => process.stderr.write(`${text}\n`)),
		);
		process.stdout.write(`${line}\n`, () => chosen.exit(exitCodes.ok));
	} catch (error) {
		fail(exitCodes.unavailable, `Cannot rotate the master key: ${error instanceof Error ? error.message : String(error)}`);
	}
}

function tokenArguments(args: readonly string[]) {
	const usage = "npm run token -- --role viewer|operator|admin [--tenant T] [--hours N] [--subject NAME]";
	const options = { role: { type: "string" }, tenant: { type: "string" }, hours: { type: "string" }, subject: { type: "string" } } as const;
	try {
		const { values } = parseArgs({ args: [...args], options, strict: true });
		const role = roles.find((known) => known === values.role);
		const hours = Number(values.hours ?? 24);
		const tenant = values.tenant ?? "default";
		if (role === undefined) throw new Error(`--role is ${values.role ?? "missing"}: it is one of ${roles.join(", ")}`);
		if (!(hours > 0 && hours <= 87_600)) throw new Error(`--hours is ${values.hours}: give a number above 0 and at most 87600 (ten years)`);
		if (!isTenantSlug(tenant)) throw new Error(`--tenant is "${tenant}": 1 to 63 lower-case letters, digits and dashes`);
		return { role, hours, tenant, subject: values.subject ?? "token-command" };
	} catch (error) {
		fail(exitCodes.usage, `Cannot make the token: ${error instanceof Error ? error.message : String(error)}\nUsage: ${usage}`);
	}
}

function quote(path: string): string {
	return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}

function fail(code: number, message: string): never {
	process.stderr.write(`${message}\n`);
	return runtime.exit(code);
}
