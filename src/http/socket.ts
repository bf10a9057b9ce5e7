import { clearTimeout, setTimeout } from "node:timers";
import type { ExecutionArgs, FormattedExecutionResult, GraphQLError } from "graphql";
import { GRAPHQL_TRANSPORT_WS_PROTOCOL, makeServer } from "graphql-ws";
import { MusterError } from "../errors.ts";
import { closeCodes } from "../protocol/codes.ts";
import type { ServeOptions, ServerSocket, SocketSession } from "../runtime/port.ts";
import type { App } from "./app.ts";
import { isPaced } from "./paced.ts";
import { bare, type Engine, prepare } from "./prepare.ts";
import { type ReaderSocket, type Sharing, subscriptionGroups } from "./shared.ts";
import { endless, type OperationScope, type SocketHandle } from "./scope.ts";

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

/** One socket while it lives. */
interface Connection<Principal, Context> {
	readonly handle: SocketHandle;
	readonly reader: ReaderSocket;
	/** The upgrade request, until the socket is let in; then one that says nothing: nobody asks it any more. */
	request: Request;
	principal: Principal | undefined;
	context: (OperationScope<Principal> & Context) | undefined;
	closed: boolean;
	/** Until `connection_init`. */
	initTimer: ReturnType<typeof setTimeout> | undefined;
}

const asked = new Request("http://socket.invalid/graphql");

type Extra<Principal, Context> = { readonly connection: Connection<Principal, Context> };
/** graphql-transport-ws for `ServeOptions.sockets`: same schema, rules, masking and limits as over HTTP. */
export function createSockets<Principal, Context extends object>(
	options: SocketOptions<Principal, Context>,
): NonNullable<ServeOptions["sockets"]> {
	const { app } = options;
	const perAddressMax = options.socketsPerAddressMax ?? 4_096;
	const perAddress = new Map<string, number>();
	const server = protocolServer(options);

	function count(sourceAddress: string, change: 1 | -1): void {
		const next = (perAddress.get(sourceAddress) ?? 0) + change;
		if (next > 0) perAddress.set(sourceAddress, next);
		else perAddress.delete(sourceAddress);
	}

	function open({ request, peerAddress, subprotocol, ...socket }: ServerSocket): SocketSession {
		const sourceAddress = app.sourceOf(request, peerAddress);
		count(sourceAddress, 1);
		const connection: Connection<Principal, Context> = {
			handle: { sourceAddress, close: (code, reason) => socket.close(code, reason) },
			reader: { push: (texts) => socket.push(texts), fellBehind: () => socket.close(closeCodes.fellBehind, fellBehindReason) },
			request,
			principal: undefined,
			context: undefined,
			closed: false,
			initTimer: setTimeout(
				() => socket.close(closeCodes.initTimeout, "Connection initialisation timeout"),
				options.initTimeoutMs ?? 10_000,
			),
		};
		let receive: (text: string) => Promise<void> = async () => {};
		const end = server.opened(
			{
				protocol: subprotocol,
				send: (text) => socket.send(text),
				close: (code, reason) => socket.close(code ?? internalError, reason ?? ""),
				onMessage(callback) {
					receive = callback;
				},
			},
			{ connection },
		);
		const fault = (error: unknown) => {
			if (connection.closed || isClosing(error)) return;
			app.log.error("socket.failed", { sourceAddress, error });
			socket.close(internalError, "Internal server error");
		};
		return {
			message(text) {
				receive(text).catch(fault);
			},
			closed(code, reason) {
				if (connection.closed) return;
				connection.closed = true;
				clearTimeout(connection.initTimer);
				count(sourceAddress, -1);
				// Not left to the protocol server: it calls back only after every subscription has ended.
				if (connection.principal !== undefined) options.onClose?.(connection.principal, connection.handle, code);
				end(code, reason).catch(fault);
			},
		};
	}

	return {
		path: "/graphql",
		subprotocol: (offered) => (offered.includes(GRAPHQL_TRANSPORT_WS_PROTOCOL) ? GRAPHQL_TRANSPORT_WS_PROTOCOL : undefined),
		admit: (request, peerAddress) => (perAddress.get(app.sourceOf(request, peerAddress)) ?? 0) < perAddressMax,
		open,
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
		return engine;
	};

	return makeServer<Record<string, unknown>, Extra<Principal, Context>>({
		// Ours ends with the wait, see `open`.
		connectionInitWaitTimeout: 0,
		execute: (args) => engineOf(args).execute(args),
		subscribe: (args) => engineOf(args).subscribe(args),
		onConnect(protocol) {
			const { connectionParams, extra } = protocol;
			clearTimeout(extra.connection.initTimer);
			extra.connection.initTimer = undefined;
			// A credential is not kept for as long as its socket is open.
			Object.assign(protocol, { connectionParams: undefined });
			return admitConnection(options, extra.connection, connectionParams ?? {});
		},
		async onSubscribe(protocol, id, payload) {
			const running = Object.keys(protocol.subscriptions).length;
			const prepared = await prepare(app, protocol.extra.connection.context, payload, running <= operationsMax ? undefined : operationsMax);
			if ("errors" in prepared) return prepared.errors;
			const { args, engine } = prepared;
			const { context, reader } = protocol.extra.connection;
			engines.set(args, {
				execute: engine.execute,
				subscribe(subscribed) {
					const sharing = context === undefined || isPaced(subscribed) ? undefined : options.share?.(context);
					if (sharing === undefined) return engine.subscribe(subscribed);
					return groups.join({ id, args: subscribed, text: payload.query, sharing }, reader, engine.subscribe);
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
	const { handle, request } = connection;
	try {
		const principal = await options.authenticate(params, request, handle.sourceAddress);
		if (principal === undefined) return false;
		connection.request = asked;
		const scope: OperationScope<Principal> = {
			request: asked,
			requestId: options.app.newRequestId(),
			sourceAddress: handle.sourceAddress,
			principal,
			socket: handle,
			http: { headers: {} },
			signal: endless,
			fellBehind: () => handle.close(closeCodes.fellBehind, fellBehindReason),
		};
		const context = await options.app.createContext(scope);
		if (connection.closed) return false;
		connection.context = { ...scope, ...context };
		connection.principal = principal;
		options.onOpen?.(principal, handle);
		return true;
	} catch (error) {
		if (!(error instanceof MusterError)) throw error;
		handle.close(closeCodes.forbidden, error.message);
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
