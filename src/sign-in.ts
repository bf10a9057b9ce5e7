/** From what a client shows to who it is, over HTTP and on sockets. */
import type { Authenticator, Shown } from "./auth/authenticate.ts";
import type { Principal } from "./auth/principal.ts";
import { isCredentialLive } from "./auth/store.ts";
import type { Deps } from "./deps.ts";
import { MusterError } from "./errors.ts";
import type { OperationScope } from "./http/scope.ts";
import { closeCodes } from "./protocol/codes.ts";
import type { LiveSockets } from "./workers/live-sockets.ts";

/** Timers take at most 2^31 - 1 ms. */
const timerMsMax = 2_147_483_647;

/** Who an HTTP request is from, by its headers. */
export function fromHeaders(authenticator: Authenticator, { request, sourceAddress }: OperationScope<Principal>): Promise<Principal> {
	return authenticator.authenticate({
		bearer: bearerOf(request.headers.get("authorization")),
		workerId: request.headers.get("muster-worker-id") ?? undefined,
		nodeName: undefined,
		sourceAddress,
	});
}

/**
 * What sockets ask of the program: who `connection_init` is from (throws UNAUTHENTICATED), what to do when one opened, and when it closed. A socket ends with the
 * token that opened it, and with the worker's credential.
 */
export function socketHooks(deps: Deps, authenticator: Authenticator, live: LiveSockets) {
	const expiries = new WeakMap<object, ReturnType<typeof setTimeout>>();
	return {
		operationsPerSocketMax: 112, // A worker's twenty free commands have four chunks of output each under way (src/commands/hand-out.ts).
		async authenticate(params: Readonly<Record<string, unknown>>, request: Request, sourceAddress: string): Promise<Principal> {
			const shown: Shown = {
				bearer:
					text(params.apiKey) ?? bearerOf(text(params.authorization) ?? text(params.Authorization) ?? request.headers.get("authorization")),
				workerId: text(params.workerId),
				nodeName: text(params.nodeName),
				sourceAddress,
			};
			const principal = await authenticator.authenticate(shown);
			if (principal.kind === "anonymous" && principal.why !== null) throw new MusterError("UNAUTHENTICATED", principal.why);
			return principal;
		},
		onOpen(principal: Principal, socket: { close(code: number, reason: string): void }) {
			if (principal.kind === "anonymous") return;
			deps.metrics.sockets(principal.kind, 1);
			if (principal.kind === "worker") {
				live.opened(principal, socket);
				// A revocation between the login and this moment found no socket to close.
				isCredentialLive(deps.db.sql, principal).then(
					(alive) => alive || socket.close(closeCodes.credentialRevoked, "The worker's credential was revoked"),
					(error: unknown) => deps.log.warn("socket.recheck_failed", { error }),
				);
				return;
			}
			const leftMs = Math.min(principal.expiresAt - deps.clock.now(), timerMsMax);
			expiries.set(
				socket,
				setTimeout(() => socket.close(closeCodes.forbidden, "The admin token has expired"), leftMs),
			);
		},
		onClose(principal: Principal, socket: { close(code: number, reason: string): void }) {
			if (principal.kind === "anonymous") return;
			deps.metrics.sockets(principal.kind, -1);
			if (principal.kind === "worker") live.closed(principal, socket);
			else clearTimeout(expiries.get(socket));
		},
	};
}

function bearerOf(header: string | null | undefined): string | undefined {
	return /^Bearer +(\S+) *$/i.exec(header ?? "")?.[1];
}

function text(value: unknown): string | undefined {
	return typeof value === "string" && value !== "" ? value : undefined;
}
