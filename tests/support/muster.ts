/** A real server process of this repository, on either runtime, and a small GraphQL client for it. */
import { type ChildProcess, spawn } from "node:child_process";
import { chmod, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { removeDataDir } from "../../src/db/embedded-files.ts";
import { commandFor, type RuntimeName } from "./runtimes.ts";

export interface Muster {
	readonly url: string;
	readonly metricsUrl: string;
	readonly dataDir: string;
	/** What `npm start` printed. */
	readonly announcement: string;
	/** An admin token of the default tenant. */
	readonly adminToken: string;
	readonly pid: number;
	stderr(): string;
	kill(signal: NodeJS.Signals): void;
	readonly ended: Promise<number | null>;
	/** SIGTERM, waits for the end, removes its data directory. */
	stop(): Promise<void>;
}

export interface MusterOptions {
	readonly runtime?: RuntimeName;
	/** Another PostgreSQL than the embedded one. */
	readonly databaseUrl?: string;
	/** Kept by the caller; a temporary one otherwise. */
	readonly dataDir?: string;
	readonly env?: Readonly<Record<string, string>>;
	/** Runs it with this before its command, as `ip netns exec NAME`. */
	readonly within?: readonly string[];
}

/** Starts a server on free ports and waits until it has said where it is. Throws with its stderr when it ends before. */
export async function startMuster(options: MusterOptions = {}): Promise<Muster> {
	const dataDir = options.dataDir ?? (await temporaryDataDir());
	const [command = "", ...args] = [...(options.within ?? []), ...commandFor(options.runtime ?? "bun", "src/main.ts", ["serve"])];
	const env = {
		PATH: process.env["PATH"] ?? "",
		HOME: process.env["HOME"] ?? "/",
		MUSTER_DATA_DIR: dataDir,
		MUSTER_LISTEN: "127.0.0.1:0",
		MUSTER_METRICS_LISTEN: "127.0.0.1:0",
		MUSTER_MASTER_KEY: Buffer.alloc(32, 5).toString("base64"),
		MUSTER_JWT_SECRET: "a secret of the tests, forty characters.",
		...(options.databaseUrl === undefined ? {} : { DATABASE_URL: options.databaseUrl }),
		...options.env,
	};
	const child = spawn(command, args, { env, stdio: ["ignore", "pipe", "pipe"] });
	let errors = "";
	child.stderr.setEncoding("utf8").on("data", (text: string) => {
		errors += text;
	});
	const ended = new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)));
	const announcement = await announced(child, ended).catch((error: unknown) => {
		throw new Error(`${String(error)}\n${errors}`);
	});
	return {
		url: /GraphiQL +(\S+)\/graphql/.exec(announcement)?.[1] ?? "",
		metricsUrl: /Metrics +(\S+)/.exec(announcement)?.[1] ?? "",
		dataDir,
		announcement,
		adminToken: (await readFile(join(dataDir, "admin-token"), "utf8")).trim(),
		pid: child.pid ?? 0,
		stderr: () => errors,
		kill: (signal) => void child.kill(signal),
		ended,
		async stop() {
			if (child.exitCode === null && child.signalCode === null) child.kill("SIGTERM");
			await ended;
			if (options.dataDir !== undefined) return;
			await removeDataDir(dataDir);
			await rm(join(dataDir, ".."), { recursive: true, force: true });
		},
	};
}

/** A data directory in a place of its own that other accounts can reach. */
export async function temporaryDataDir(): Promise<string> {
	const parent = await mkdtemp(join(tmpdir(), "muster-"));
	await chmod(parent, 0o755);
	return join(parent, "data");
}

function announced(child: ChildProcess, ended: Promise<number | null>): Promise<string> {
	return new Promise((resolve, reject) => {
		let text = "";
		child.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
			text += chunk;
			if (text.includes("Enroll this machine") && text.endsWith("\n")) resolve(text);
		});
		void ended.then((code) => reject(new Error(`The server ended with ${code} before it was up`)));
	});
}

export interface GraphQLReply {
	readonly status: number;
	readonly headers: Headers;
	/** The body as it came. */
	readonly text: string;
	// biome-ignore lint/suspicious/noExplicitAny: tests read replies of many shapes; a wrong one fails the assertion
	readonly data: any;
	readonly errors: readonly { readonly message: string; readonly extensions?: Readonly<Record<string, unknown>> }[];
}

/** One GraphQL request over HTTP. */
export async function graphql(
	server: { readonly url: string },
	query: string,
	variables: object = {},
	headers: Readonly<Record<string, string>> = {},
): Promise<GraphQLReply> {
	const response = await fetch(`${server.url}/graphql`, {
		method: "POST",
		headers: { "content-type": "application/json", ...headers },
		body: JSON.stringify({ query, variables }),
	});
	const text = await response.text();
	const body = JSON.parse(text) as { data?: unknown; errors?: GraphQLReply["errors"] };
	return { status: response.status, headers: response.headers, text, data: body.data, errors: body.errors ?? [] };
}

/** The same as an admin; throws when there are errors. */
export async function asAdmin(server: { readonly url: string; readonly adminToken: string }, query: string, variables: object = {}) {
	const reply = await graphql(server, query, variables, { authorization: `Bearer ${server.adminToken}` });
	if (reply.errors.length > 0) throw new Error(JSON.stringify(reply.errors));
	return reply.data;
}

/** The selection that shows everything of an enroll reply. */
export const enrollMutation = `mutation ($input: EnrollInput!) { enroll(input: $input) { __typename
	... on Enrolled { workerId hostId name outcome apiKey sealedApiKey }
	... on EnrollmentPending { workerId pending: reason wait: retryAfterSeconds }
	... on EnrollmentRejected { reason message retryAfterSeconds serverTime } } }`;
