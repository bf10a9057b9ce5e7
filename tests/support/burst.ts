/** Hundreds of clients at once against several servers, each as stubborn as a worker, and the count of what they left in the database. */
import { connect } from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import type { Db } from "../../src/db/port.ts";
import { fullJitter } from "../../src/lib/backoff.ts";
import { generateReplyKey, type ReplyKeyPair } from "../../src/protocol/seal.ts";
import { asAdmin, enrollMutation, type Muster, type MusterOptions, startMuster } from "./muster.ts";
import { hex, sharedSecret } from "./pipeline.ts";

/** What a server said for good. */
export type Answer =
	| {
			readonly kind: "enrolled";
			readonly workerId: string;
			readonly outcome: string;
			readonly apiKey: string | null;
			readonly sealedApiKey: string | null;
	  }
	| { readonly kind: "refused"; readonly reason: string };

/** What one request came to: an answer, or why there is none that counts (no reply, 5xx, overloaded). */
type Result = { readonly answer: Answer } | { readonly missed: string };

/** One machine that wants in: its own enrollment id, machine uid, source address and, when it seals, reply key. */
export interface Client {
	readonly enrollmentId: string;
	readonly machineUid: string;
	readonly replyKey: ReplyKeyPair | undefined;
	/** Requests that gave no answer that counts, in order. */
	readonly missed: string[];
	/** The answer, once it is there. */
	answer?: Answer;
	readonly headers: string;
	readonly body: string;
}

/** A key that lets several in, or a host's token. */
export type Way =
	| { readonly enrollmentKey: string }
	| { readonly hostToken: { readonly token: string; readonly sharedSecret: string }; readonly name: string };

/** Longer than any server may take that is not dead: what has no reply by then counts as none. */
const replyMs = 20_000;
const triesMax = 500;
const repeats = { baseMs: 10, capMs: 100 };
let sources = 0;

/** Two servers on Bun and one on Deno, on one database. X-Forwarded-For is believed, so that each client is a source of its own. */
export async function startServers(databaseUrl: string): Promise<[Muster, Muster, Muster]> {
	// One after the other: whoever comes second finds the migrations done.
	const first = await startOne(databaseUrl, "bun");
	return [first, await startOne(databaseUrl, "bun"), await startOne(databaseUrl, "deno")];
}

/** One of them. */
export function startOne(databaseUrl: string, runtime: NonNullable<MusterOptions["runtime"]>): Promise<Muster> {
	const env = { MUSTER_TRUSTED_PROXIES: "127.0.0.1/32", MUSTER_SHARED_SECRET: sharedSecret, MUSTER_LOG_LEVEL: "warn" };
	return startMuster({ runtime, databaseUrl, env });
}

/** A new site with an enrollment key of so many uses. */
export async function newKey(server: Muster, maxUses: number): Promise<{ readonly keyId: string; readonly way: Way }> {
	const siteCode = `s-${hex(6)}`;
	await asAdmin(server, "mutation ($input: CreateSiteInput!) { createSite(input: $input) { site { id } } }", { input: { code: siteCode } });
	const create = "mutation ($input: CreateEnrollmentKeyInput!) { createEnrollmentKey(input: $input) { secret key { id } } }";
	const made = (await asAdmin(server, create, { input: { name: "burst", siteCode, maxUses } })).createEnrollmentKey;
	return { keyId: String(made.key.id), way: { enrollmentKey: String(made.secret) } };
}

/** A new host with its token. */
export async function newHost(server: Muster): Promise<{ readonly hostId: string; readonly way: Way }> {
	const name = `host-${hex(6)}`;
	const create = "mutation ($input: CreateHostInput!) { createHost(input: $input) { secret host { id } } }";
	const made = (await asAdmin(server, create, { input: { name } })).createHost;
	return { hostId: String(made.host.id), way: { hostToken: { token: String(made.secret), sharedSecret }, name } };
}

/** So many machines that share one way in. With `sealed` each has a reply key of its own. */
export function newClients(count: number, way: Way, sealed: boolean): Promise<Client[]> {
	return Promise.all(
		Array.from({ length: count }, async (): Promise<Client> => {
			const enrollmentId = hex(16);
			const machineUid = `uid-${hex(12)}`;
			const replyKey = sealed ? await generateReplyKey() : undefined;
			const { name, ...credential } = { name: `robot-${hex(6)}`, ...way };
			const worker = { name, hostname: name, machineUid };
			const input = { enrollmentId, credential, worker, ...(replyKey === undefined ? {} : { replyKey: replyKey.publicKey }) };
			// An IPv6 /64 counts as one source (RFC 3849: these are nobody's).
			const source = `2001:db8:${(++sources >> 16).toString(16)}:${(sources & 0xffff).toString(16)}::1`;
			const body = JSON.stringify({ query: enrollMutation, variables: { input } });
			return { enrollmentId, machineUid, replyKey, missed: [], headers: `X-Forwarded-For: ${source}\r\n`, body };
		}),
	);
}

/**
 * Lets every client ask at once, spread over the servers; each repeats the same enrollment, at the next server, until it has an answer.
 * `onAnswer` hears how many have one.
 */
export async function burst(
	servers: readonly { readonly url: string }[],
	clients: readonly Client[],
	onAnswer: () => void = () => {},
): Promise<void> {
	await Promise.all(
		clients.map(async (client, index) => {
			client.answer = await persist(servers, client, index);
			onAnswer();
		}),
	);
}

async function persist(servers: readonly { readonly url: string }[], client: Client, start: number): Promise<Answer> {
	for (let attempt = 0; attempt < triesMax; attempt++) {
		const server = servers[(start + attempt) % servers.length];
		const result = await ask(server?.url ?? "", client);
		if ("answer" in result) return result.answer;
		client.missed.push(result.missed);
		await wait(fullJitter(repeats, attempt, Math.random()));
	}
	throw new Error(`A client had no answer after ${triesMax} tries: ${client.missed.slice(-5).join(", ")}`);
}

/** One request on a connection of its own. Not `fetch`, which sends 256 at a time at most and repeats what was cut off unasked. */
async function ask(url: string, client: Client): Promise<Result> {
	const reply = await post(new URL(url), client);
	if (reply === undefined) return { missed: "no reply" };
	if (reply.status >= 500) return { missed: `${reply.status} ${reply.body.slice(0, 200)}` };
	const { data } = JSON.parse(reply.body) as { data?: { enroll?: Record<string, unknown> } };
	const enroll = data?.enroll;
	if (enroll?.["__typename"] === "Enrolled") {
		const { workerId, outcome, apiKey, sealedApiKey } = enroll as unknown as Extract<Answer, { kind: "enrolled" }>;
		return { answer: { kind: "enrolled", workerId, outcome, apiKey, sealedApiKey } };
	}
	if (enroll?.["__typename"] === "EnrollmentRejected") return { answer: { kind: "refused", reason: String(enroll["reason"]) } };
	throw new Error(`Neither let in nor refused: ${reply.status} ${reply.body}`);
}

function post({ hostname, port, host }: URL, { headers, body }: Client): Promise<{ status: number; body: string } | undefined> {
	return new Promise((resolve) => {
		const tcp = connect({ host: hostname, port: Number(port), noDelay: true });
		let text = "";
		const late = setTimeout(() => tcp.destroy(), replyMs);
		tcp.setEncoding("utf8");
		tcp.on("error", () => {});
		tcp.once("close", () => {
			clearTimeout(late);
			resolve(undefined);
		});
		tcp.on("data", (chunk: string) => {
			text += chunk;
			const [head = "", content] = text.split("\r\n\r\n", 2);
			// The replies are ASCII: an answer holds nothing but ids, keys and our own words.
			if (content === undefined || content.length < Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? Number.NaN)) return;
			resolve({ status: Number(head.split(" ", 2)[1]), body: content });
			tcp.destroy();
		});
		const lines = `POST /graphql HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\nConnection: close\r\n${headers}`;
		tcp.write(`${lines}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
	});
}

/** The answers counted: outcome or reason → how many; a first admission and its repeat count as `in`. */
export function tally(clients: readonly Client[]): Record<string, number> {
	const counts: Record<string, number> = {};
	for (const { answer } of clients) {
		const what = answer === undefined ? "none" : answer.kind === "enrolled" ? "in" : answer.reason;
		counts[what] = (counts[what] ?? 0) + 1;
	}
	return counts;
}

/** The clients that were let in, with what they were told. */
export function admitted(clients: readonly Client[]): (Client & { readonly answer: Extract<Answer, { kind: "enrolled" }> })[] {
	return clients.flatMap((client) => (client.answer?.kind === "enrolled" ? [{ ...client, answer: client.answer }] : []));
}

/** What the database holds for a key. */
export interface Books {
	readonly uses: number;
	readonly workers: number;
	/** Hosts in MONITORING, each with a worker of this key. */
	readonly hosts: number;
	/** Credentials of these workers that are not revoked. */
	readonly credentials: number;
	/** Workers with another number of live credentials than one. */
	readonly odd: number;
	readonly exhaustedAlerts: number;
}

/** Counts it, in one statement. `key` is a condition on `keys k`. */
export async function booksOf(db: Db, key: string): Promise<Books> {
	const [row] = await db.sql.unsafe(`
		with k as (select * from keys k where ${key}), w as (
			select w.id, (select count(*) from credentials c where c.tenant_id = w.tenant_id and c.worker_id = w.id and c.revoked_at is null) as live
			from workers w join k on k.id = w.key_id where w.state = 'ACTIVE')
		select (select sum(uses) from k)::int as uses, (select count(*) from w)::int as workers,
			(select count(*) from hosts h join w on w.id = h.worker_id where h.state = 'MONITORING')::int as hosts,
			(select sum(live) from w)::int as credentials, (select count(*) from w where live <> 1)::int as odd,
			(select count(*) from alerts a join k on a.topic = 'exhausted ' || k.id where a.kind = 'KEY_EXHAUSTED')::int as exhausted_alerts`);
	if (row === undefined) throw new Error("The books gave no row");
	return Object.fromEntries(Object.entries(row).map(([name, value]) => [name, Number(value)])) as unknown as Books;
}
