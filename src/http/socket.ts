import { clearTimeout, setTimeout } from "node:timers";
import type { ExecutionArgs, FormattedExecutionResult, GraphQLError } from "graphql";
import { GRAPHQL_TRANSPORT_WS_PROTOCOL, makeServer } from "graphql-ws";
import { MusterError } from "../errors.ts";
import { neverLeaves } from "../lib/leaving.ts";
import { closeCodes } from "../protocol/codes.ts";
import type { ServeOptions, ServerSocket, SocketSession } from "../runtime/port.ts";
import type { App } from "./app.ts";
import { isPaced } from "./paced.ts";
import { bare, type Engine, prepare } from "./prepare.ts";
import { type ReaderSocket, type Sharing, subscriptionGroups } from "./shared.ts";
import type { OperationScope, SocketHandle } from "./scope.ts";

/** What a client sent with `connection_init`, or nothing. */
export type ConnectionParams = Readonly<Record<string, unknown>>;

export interface SocketOptions<Principal, Context extends object> {
	readonly app: App<Principal, Context>;
	/**
	 * Who the `connection_init` is from; undefined closes with `closeCodes.forbidden`, as does a MusterError, whose message is then the
	 * reason. Any other error closes 4500 and is logged.
	 */
	authenticate(params: ConnectionParams, request: Request, sourceAddress: string): Promise<Principal | undefined>;
	/** A socket was let in. Called before `connection_ack`, never for a socket that closed meanwhile. */
	onOpen?(principal: Principal, socket: SocketHandle): void;
	/** It is gone. Called exactly once for each `onOpen`, whatever its operations do. */
	onClose?(principal: Principal, socket: SocketHandle, code: number): void;
	/** What subscriptions of the same document and variables may be served as one; undefined, or left out: each by itself. */
	share?(context: OperationScope<Principal> & Context): Sharing | undefined;
	/** Results that wait for one reader of a shared subscription at most. Default 1,024. */
	readonly backlogMax?: number;
	/** Sockets at once from one source address. Default 4,096: a site's robots often share one NAT. */
	readonly socketsPerAddressMax?: number;
	/** Operations at once on one socket. Default 64. */
	readonly operationsPerSocketMax?: number;
	/** How long a socket may stay without `connection_init`, in milliseconds. Default 10,000. */
	readonly initTimeoutMs?: number;
	/** See `ServeOptions`. Defaults: 1 MiB, 30 s, 15 s. */
	readonly frameBytesMax?: number;
	readonly idleSeconds?: number;
	readonly drainTimeoutMs?: number;
}

const fellBehindReason = "The subscriber fell behind: reconnect and read the state anew";
/** graphql-ws's own code for a fault of the server. */
const internalError = 4500;

const asked = new Request("http://socket.invalid/graphql");

/** The socket as graphql-ws has it. */
type ProtocolSocket = Parameters<ReturnType<typeof makeServer>["opened"]>[0];

/**
 * One socket while it lives: what the listener, graphql-ws and the resolvers have of it. A class, and one for all three: of closures and objects for
 * each, ten thousand waiting workers would hold their own.
 */
class Connection<Principal, Context extends object> implements SocketSession, SocketHandle, ReaderSocket {
	readonly sourceAddress: string;
	readonly protocol: string;
	/** The upgrade request, until the socket is let in; then one that says nothing: nobody asks it any more. */
	request: Request;
	principal: Principal | undefined;
	context: (OperationScope<Principal> & Context) | undefined;
	isClosed = false;
	private readonly socket: ServerSocket;
	private readonly owner: Owner<Principal, Context>;
	/** Until `connection_init`. */
	private initTimer: ReturnType<typeof setTimeout> | undefined;
	private receive: (text: string) => Promise<void> = ignore;
	private readonly end: (code: number, reason: string) => Promise<void>;

	constructor(socket: ServerSocket, request: Request, owner: Owner<Principal, Context>) {
		this.sourceAddress = owner.options.app.sourceOf(request, socket.peerAddress);
		this.protocol = socket.subprotocol;
		this.request = request;
		this.socket = socket;
		this.owner = owner;
		this.initTimer = setTimeout(
			() => this.close(closeCodes.initTimeout, "Connection initialisation timeout"),
			owner.options.initTimeoutMs ?? 10_000,
		);
		owner.count(this.sourceAddress, 1);
		this.end = owner.server.opened(this, this);
	}

	send(text: string): Promise<void> {
		return this.socket.send(text);
	}

	push(texts: readonly string[]): Promise<void> | undefined {
		return this.socket.push(texts);
	}

	close(code: number = internalError, reason = ""): void {
		this.socket.close(code, reason);
	}

	fellBehind(): void {
		this.close(closeCodes.fellBehind, fellBehindReason);
	}

	onMessage(callback: (text: string) => Promise<void>): void {
		this.receive = callback;
	}

	/** The peer has said who it is in time. */
	initialised(): void {
		clearTimeout(this.initTimer);
		this.initTimer = undefined;
	}

	message(text: string): void {
		this.receive(text).catch((error: unknown) => this.fault(error));
	}

	closed(code: number, reason: string): void {
		if (this.isClosed) return;
		this.isClosed = true;
		this.initialised();
		this.owner.count(this.sourceAddress, -1);
		// Not left to the protocol server: it calls back only after every subscription has ended.
		if (this.principal !== undefined) this.owner.options.onClose?.(this.principal, this, code);
		this.end(code, reason).catch((error: unknown) => this.fault(error));
	}

	private fault(error: unknown): void {
		if (this.isClosed || isClosing(error)) return;
		this.owner.options.app.log.error("socket.failed", { sourceAddress: this.sourceAddress, error });
		this.close(internalError, "Internal server error");
	}
}

/** What the sockets of one listener share. */
interface Owner<Principal, Context extends object> {
	readonly options: SocketOptions<Principal, Context>;
	readonly server: {
		opened(socket: ProtocolSocket, extra: Connection<Principal, Context>): (code: number, reason: string) => Promise<void>;
	};
	/** One more socket of this address, or one less. */
	count(sourceAddress: string, change: 1 | -1): void;
}

const ignore = async (): Promise<void> => {};

/** graphql-transport-ws for `ServeOptions.sockets`: same schema, rules, masking and limits as over HTTP. */
export function createSockets<Principal, Context extends object>(
	options: SocketOptions<Principal, Context>,
): NonNullable<ServeOptions["sockets"]> {
	const { app } = options;
	const perAddressMax = options.socketsPerAddressMax ?? 4_096;
	const perAddress = new Map<string, number>();
	const owner: Owner<Principal, Context> = {
		options,
		server: protocolServer(options),
		count(sourceAddress, change) {
			const next = (perAddress.get(sourceAddress) ?? 0) + change;
			if (next > 0) perAddress.set(sourceAddress, next);
			else perAddress.delete(sourceAddress);
		},
	};

	return {
		path: "/graphql",
		subprotocol: (offered) => (offered.includes(GRAPHQL_TRANSPORT_WS_PROTOCOL) ? GRAPHQL_TRANSPORT_WS_PROTOCOL : undefined),
		admit: (request, peerAddress) => (perAddress.get(app.sourceOf(request, peerAddress)) ?? 0) < perAddressMax,
		open: (socket, request) => new Connection(socket, request, owner),
		frameBytesMax: options.frameBytesMax ?? 1024 * 1024,
		idleSeconds: options.idleSeconds ?? 30,
		drainTimeoutMs: options.drainTimeoutMs ?? 15_000,
	};
}

function protocolServer<Principal, Context extends object>(options: SocketOptions<Principal, Context>) {
	const { app } = options;
	const operationsMax = options.operationsPerSocketMax ?? 64;
	const serialise = (result: Result) => JSON.stringify(result.errors === undefined ? result : formatted(result));
	const groups = subscriptionGroups({ serialise, backlogMax: options.backlogMax ?? 1_024 });
	// The engine that parsed an operation also runs it, so that every plugin sees the whole of it.
	const engines = new WeakMap<ExecutionArgs, Engine>();
	const engineOf = (args: ExecutionArgs): Engine => {
		const engine = engines.get(args);
		if (engine === undefined) throw new Error("An operation runs that was not prepared");
		// Asked once: what only begins an operation is not kept for as long as it runs.
		engines.delete(args);
		return engine;
	};

	return makeServer<Record<string, unknown>, Connection<Principal, Context>>({
		// Ours ends with the wait (`initialised`).
		connectionInitWaitTimeout: 0,
		execute: (args) => engineOf(args).execute(args),
		subscribe: (args) => engineOf(args).subscribe(args),
		onConnect(protocol) {
			const { connectionParams, extra } = protocol;
			extra.initialised();
			// A credential is not kept for as long as its socket is open.
			Object.assign(protocol, { connectionParams: undefined });
			return admitConnection(options, extra, connectionParams ?? {});
		},
		async onSubscribe(protocol, id, payload) {
			const { extra: connection } = protocol;
			const running = Object.keys(protocol.subscriptions).length;
			const prepared = await prepare(app, connection.context, payload, running <= operationsMax ? undefined : operationsMax);
			if ("errors" in prepared) return prepared.errors;
			const { args, engine } = prepared;
			const { context } = connection;
			engines.set(args, {
				execute: engine.execute,
				subscribe(subscribed) {
					const sharing = context === undefined || isPaced(subscribed) ? undefined : options.share?.(context);
					if (sharing === undefined) return engine.subscribe(subscribed);
					return groups.join({ id, args: subscribed, text: payload.query, sharing }, connection, engine.subscribe);
				},
			});
			return args;
		},
		onNext: (_protocol, _id, _payload, _args, result) => (result.errors === undefined ? undefined : formatted(result)),
		// A subscription whose source throws comes here with its raw error.
		onError: (_protocol, _id, _payload, errors) =>
			errors.map((error) => bare(isClosing(error.originalError) ? error : app.mask(error, app.newRequestId())).toJSON()),
	});
}

/** False closes with `closeCodes.forbidden`. */
async function admitConnection<Principal, Context extends object>(
	options: SocketOptions<Principal, Context>,
	connection: Connection<Principal, Context>,
	params: ConnectionParams,
): Promise<boolean> {
	const { sourceAddress } = connection;
	try {
		const principal = await options.authenticate(params, connection.request, sourceAddress);
		if (principal === undefined) return false;
		connection.request = asked;
		const scope: OperationScope<Principal> = {
			request: asked,
			requestId: options.app.newRequestId(),
			sourceAddress,
			principal,
			socket: connection,
			http: { headers: {} },
			signal: neverLeaves,
			fellBehind: () => connection.fellBehind(),
		};
		const context = await options.app.createContext(scope);
		if (connection.isClosed) return false;
		connection.context = { ...scope, ...context };
		connection.principal = principal;
		options.onOpen?.(principal, connection);
		return true;
	} catch (error) {
		if (!(error instanceof MusterError)) throw error;
		connection.close(closeCodes.forbidden, error.message);
		return false;
	}
}

/** A refused `send` ends its operation with this; the socket is closing then, and that is all there is to know. */
function isClosing(error: unknown): boolean {
	return error instanceof Error && error.name === "SocketClosed";
}

interface Result {
	readonly data?: Record<string, unknown> | null | undefined;
	readonly errors?: readonly GraphQLError[] | undefined;
	readonly extensions?: Record<string, unknown> | undefined;
}

function formatted({ data, errors = [], extensions }: Result): FormattedExecutionResult {
	const shown: FormattedExecutionResult = { errors: errors.map((error) => bare(error).toJSON()) };
	return { ...shown, ...(data === undefined ? {} : { data }), ...(extensions === undefined ? {} : { extensions }) };
}
