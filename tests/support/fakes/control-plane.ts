import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { graphql, GraphQLError } from "graphql";
import { useServer } from "graphql-ws/use/ws";
import { type WebSocket, WebSocketServer } from "ws";
import { systemRandom } from "../../../src/lib/random.ts";
import { type Refusal, refusalStatus, refusals } from "../../../src/protocol/codes.ts";
import { seal } from "../../../src/protocol/seal.ts";
import { mintToken, type TokenKind } from "../../../src/protocol/token.ts";
import { CommandDesk } from "./command-desk.ts";
import { Proofs, type SentProof } from "./proofs.ts";
import { schema } from "./schema.ts";

/** An enroll call as it came in. */
export interface EnrollCall {
	readonly enrollmentId: string;
	readonly credential: Readonly<Record<string, unknown>>;
	readonly worker: {
		readonly name: string;
		readonly machineUid: string;
		readonly requestedId?: string;
		readonly [fact: string]: unknown;
	};
	readonly replyKey?: string;
}

/** A heartbeat as it came in. */
export interface Beat {
	readonly workerId: string;
	readonly bootId: string;
	readonly sequence: number;
	readonly load1?: number;
	readonly memoryUsedBytes: number;
	readonly uptimeSeconds: number;
}

interface Member {
	readonly workerId: string;
	readonly name: string;
	apiKey: string;
	revoked: boolean;
}

type Answered = Readonly<Record<string, unknown>> & { readonly __typename: string };

/** What the fake answers next in place of the truth. */
export type Mishap =
	/** Does everything, then cuts the connection before the reply. */
	| { readonly kind: "lose" }
	| { readonly kind: "refuse"; readonly reason: Refusal; readonly retryAfterSeconds?: number }
	| { readonly kind: "raw"; readonly status: number; readonly body: string; readonly headers?: Readonly<Record<string, string>> }
	/** Seals to nobody. */
	| { readonly kind: "garble" }
	/** Answers only once the connection was given up. */
	| { readonly kind: "stall" };

/**
 * A fake: a control plane that keeps the protocol (contract.graphql: enroll, heartbeat; graphql-transport-ws) in memory, so that the worker can be
 * tested alone. It remembers enrollments by id, admits one machine once, pins sockets to worker and name, and can be told what to do wrong next.
 * Closes everything it opened when disposed of.
 */
export class ControlPlane implements AsyncDisposable {
	readonly enrollCalls: EnrollCall[] = [];
	readonly beats: Beat[] = [];
	/** The `connection_init` payloads of all sockets that were let in. */
	readonly connections: Readonly<Record<string, unknown>>[] = [];
	/** Heartbeats without content, by which a worker checks its credential over HTTP. */
	checks = 0;
	/** How many of them had a right credential. */
	takenChecks = 0;
	/** Enroll calls answer in this way first, in order. */
	readonly mishaps: Mishap[] = [];
	/** Claims are held for an operator while true. */
	holding = false;
	/** What enroll replies give as the address to report to. */
	serverAddress: string | null = null;
	nextInSeconds = 0.1;
	/** How far this server's clock is ahead of the machine's. */
	clockOffsetMs = 0;
	/** What checks auto-enrollment; knows no secret until one is given to it. */
	readonly proofs: Proofs = new Proofs();
	/** Gives orders to workers. */
	readonly desk: CommandDesk = new CommandDesk(() => this.#happened());
	readonly #keys = new Set<string>();
	readonly #replies = new Map<string, Answered>();
	readonly #members = new Map<string, Member>();
	readonly #listeners = new Set<() => void>();
	#port = 0;
	#running: { readonly stop: () => Promise<void>; readonly sockets: ReadonlySet<WebSocket> } | undefined;

	/** `http://127.0.0.1:<port>`; the same after `stop` and `start`. */
	get url(): string {
		return `http://127.0.0.1:${this.#port}`;
	}

	/** Connections that are open now. */
	get openSockets(): number {
		return this.#running?.sockets.size ?? 0;
	}

	/** Makes a key that lets any number of machines in. */
	mintKey(kind: TokenKind): string {
		const { text } = mintToken(kind, systemRandom.bytes(38));
		this.#keys.add(text);
		return text;
	}

	/** Makes a worker with an API key, the given one or a new one, without enrollment. */
	createWorker(name: string, apiKey?: string): { readonly workerId: string; readonly apiKey: string } {
		const { member } = this.#admit({ machineUid: `created-${name}`, name });
		member.apiKey = apiKey ?? member.apiKey;
		return member;
	}

	/** Refuses a worker's credential from now on. */
	revoke(workerId: string): void {
		for (const member of this.#members.values()) if (member.workerId === workerId) member.revoked = true;
	}

	/** Closes all sockets. */
	closeSockets(code: number, reason: string): void {
		for (const socket of this.#running?.sockets ?? []) socket.close(code, reason);
	}

	/** Resolves as soon as the condition holds; it is looked at whenever something has happened here. */
	async until(condition: () => boolean): Promise<void> {
		while (!condition()) {
			await new Promise<void>((resolve) => {
				const listener = () => {
					this.#listeners.delete(listener);
					resolve();
				};
				this.#listeners.add(listener);
			});
		}
	}

	/** Listens on a free port, or on the former one. */
	async start(): Promise<void> {
		const server = createServer((request, response) => void this.#serve(request, response));
		const sockets = new WebSocketServer({ server, path: "/graphql" });
		const disposable = useServer<Readonly<Record<string, unknown>>, { member?: Member }>(
			{
				schema,
				roots: { mutation: this.#roots(), subscription: this.desk.subscriptions() },
				onConnect: (context) => {
					const params = context.connectionParams ?? {};
					const member = this.#authenticate(params.workerId, params.apiKey);
					if (member === undefined || (params.nodeName !== undefined && params.nodeName !== member.name)) return false;
					context.extra.member = member;
					this.connections.push(params);
					this.#happened();
					return true;
				},
				onDisconnect: () => this.#happened(),
				context: (context) => ({ member: context.extra.member }),
			},
			sockets,
		);
		await new Promise<void>((resolve) => server.listen(this.#port, "127.0.0.1", resolve));
		this.#port = (server.address() as AddressInfo).port;
		const stop = async () => {
			for (const socket of sockets.clients) socket.terminate();
			await disposable.dispose();
			server.closeAllConnections();
			await new Promise<void>((resolve) => server.close(() => resolve()));
		};
		this.#running = { stop, sockets: sockets.clients };
	}

	/** Stops listening and cuts every connection; what it knows stays. */
	async stop(): Promise<void> {
		await this.#running?.stop();
		this.#running = undefined;
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.stop();
	}

	#happened(): void {
		for (const listener of this.#listeners) listener();
	}

	#authenticate(workerId: unknown, apiKey: unknown): Member | undefined {
		return [...this.#members.values()].find((member) => member.workerId === workerId && member.apiKey === apiKey && !member.revoked);
	}

	#roots(): Record<string, object> {
		return {
			...this.desk.mutations(),
			enroll: ({ input }: { readonly input: EnrollCall }) => this.#enroll(input),
			heartbeat: ({ input }: { readonly input?: Omit<Beat, "workerId"> }, { member }: { readonly member?: Member }) => {
				if (input === undefined) this.checks += 1;
				if (member === undefined || member.revoked) throw new GraphQLError("Not a worker", { extensions: { code: "UNAUTHENTICATED" } });
				if (input === undefined) this.takenChecks += 1;
				else this.beats.push({ workerId: member.workerId, ...input });
				this.#happened();
				return { serverTime: new Date(Date.now() + this.clockOffsetMs).toISOString(), nextInSeconds: this.nextInSeconds };
			},
		};
	}

	async #enroll(call: EnrollCall): Promise<Answered> {
		this.enrollCalls.push(call);
		const mishap = this.mishaps[0];
		if (mishap?.kind === "refuse") return this.#refuse(mishap.reason, mishap.retryAfterSeconds ?? null);
		const proof = call.credential.autoEnrollment as SentProof | undefined;
		const unproven = proof === undefined ? undefined : this.proofs.refusalOf(call, proof, Date.now() + this.clockOffsetMs);
		if (unproven !== undefined) return this.#refuse(unproven);
		const known = this.#replies.get(call.enrollmentId);
		if (known !== undefined) return { ...known, outcome: "REPLAYED" };
		if (proof === undefined && !this.#keys.has(presentedKey(call))) return this.#refuse("invalid_token");
		if (this.holding) return { __typename: "EnrollmentPending", workerId: "wrk_held", reason: "APPROVAL_REQUIRED", retryAfterSeconds: 0 };
		const { requestedId, machineUid } = call.worker;
		const taken = [...this.#members].some(([uid, { workerId }]) => workerId === requestedId && uid !== machineUid);
		if (taken) return this.#refuse("worker_exists");
		const { member, outcome } = this.#admit(call.worker);
		const sealed =
			call.replyKey === undefined ? null : await seal(call.replyKey, mishap?.kind === "garble" ? "x" : call.enrollmentId, member.apiKey);
		const reply: Answered = {
			__typename: "Enrolled",
			workerId: member.workerId,
			hostId: `host_${member.workerId}`,
			name: member.name,
			outcome,
			apiKey: call.replyKey === undefined ? member.apiKey : null,
			sealedApiKey: sealed,
			serverAddress: this.serverAddress,
			mesh: null,
			heartbeatIntervalSeconds: 1,
		};
		this.#replies.set(call.enrollmentId, reply);
		return reply;
	}

	#refuse(reason: Refusal, retryAfterSeconds: number | null = null): Answered {
		const serverTime = new Date(Date.now() + this.clockOffsetMs).toISOString();
		return { __typename: "EnrollmentRejected", reason, message: `refused: ${reason}`, retryAfterSeconds, serverTime };
	}

	#admit({ machineUid, name, requestedId }: Pick<EnrollCall["worker"], "machineUid" | "name" | "requestedId">): {
		readonly member: Member;
		readonly outcome: string;
	} {
		const { text: apiKey } = mintToken("worker", systemRandom.bytes(38));
		const known = this.#members.get(machineUid);
		if (known !== undefined) {
			known.apiKey = apiKey;
			return { member: known, outcome: "REUSED" };
		}
		const member = { workerId: requestedId ?? `wrk_${this.#members.size + 1}`, name, apiKey, revoked: false };
		this.#members.set(machineUid, member);
		return { member, outcome: "NEW" };
	}

	async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
		const chunks: Buffer[] = [];
		for await (const chunk of request) chunks.push(chunk as Buffer);
		response.setHeader("date", new Date(Date.now() + this.clockOffsetMs).toUTCString());
		if (request.url === "/health/live") return void response.writeHead(200).end('{"status":"live"}');
		if (request.method !== "POST" || request.url !== "/graphql") return void response.writeHead(404).end("not found");
		const { query, variables } = JSON.parse(Buffer.concat(chunks).toString()) as { query: string; variables: Record<string, unknown> };
		const member = this.#authenticate(request.headers["muster-worker-id"], request.headers.authorization?.replace(/^Bearer /, ""));
		const result = await graphql({ schema, source: query, variableValues: variables, rootValue: this.#roots(), contextValue: { member } });
		const mishap = query.includes("enroll(") ? this.mishaps.shift() : undefined;
		if (mishap?.kind === "lose") request.socket.destroy();
		else if (mishap?.kind === "raw") response.writeHead(mishap.status, mishap.headers).end(mishap.body);
		else if (mishap?.kind !== "stall") {
			const reply = (result.data as { readonly enroll?: Answered } | null | undefined)?.enroll;
			response.writeHead(statusOf(reply), { "content-type": "application/graphql-response+json" }).end(JSON.stringify(result));
		}
		this.#happened();
	}
}

/** Starts a fake control plane on a free port of this machine. */
export async function startControlPlane(): Promise<ControlPlane> {
	const plane = new ControlPlane();
	await plane.start();
	return plane;
}

function presentedKey({ credential }: EnrollCall): string {
	const { enrollmentKey, siteKey, hostToken } = credential as {
		readonly enrollmentKey?: string;
		readonly siteKey?: { readonly key: string };
		readonly hostToken?: { readonly token: string };
	};
	return enrollmentKey ?? siteKey?.key ?? hostToken?.token ?? "";
}

/** The HTTP status goes by the verdict (DESIGN.md, Verdicts), under whatever names the document asked for it. */
function statusOf(reply: Answered | undefined): number {
	if (reply?.__typename === "EnrollmentPending") return 202;
	const refusal = refusals.find((reason) => Object.values(reply ?? {}).includes(reason));
	return reply?.__typename === "EnrollmentRejected" && refusal !== undefined ? refusalStatus[refusal] : 200;
}
