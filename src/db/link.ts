import { isIP, connect as openSocket, type Socket } from "node:net";
import { connect as openTls } from "node:tls";
import { type DatabasePlace, describePlace } from "./url.ts";

/** The connection to PostgreSQL is gone, or never came to be. `code` is the system's, or one of the driver's words for it. */
export class LinkError extends Error {
	override readonly name = "LinkError";
	readonly code: string;
	constructor(code: string, message: string, options: { readonly cause?: unknown } = {}) {
		super(message, options.cause === undefined ? {} : { cause: options.cause });
		this.code = code;
	}
}

/** The SSLRequest message: its length, and the number that asks for TLS. */
const sslRequest = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]);
const keepAliveMs = 30_000;

/**
 * Opens a byte stream to PostgreSQL: TCP or a Unix socket, with TLS as the address asks for. Nothing of the protocol but the request for
 * TLS has been said on it. Rejects with a LinkError that names the place and the reason.
 * @param deadlineMs for the connection and the TLS handshake together
 */
export async function openLink(place: DatabasePlace, deadlineMs: number): Promise<Socket> {
	const socket = place.path === undefined ? openSocket(place.port, place.host) : openSocket(place.path);
	let current: Socket = socket;
	let expired = false;
	const timer = setTimeout(() => {
		expired = true;
		current.destroy(new Error("timed out"));
	}, deadlineMs);
	try {
		await settled(socket, "connect");
		if (place.path === undefined) socket.setNoDelay(true).setKeepAlive(true, keepAliveMs);
		if (place.sslMode !== "disable" && place.path === undefined) current = await encrypted(socket, place);
		return current;
	} catch (cause) {
		current.destroy();
		const where = describePlace(place);
		if (expired)
			throw new LinkError("CONNECT_TIMEOUT", `PostgreSQL at ${where} did not take a connection within ${deadlineMs} ms`, { cause });
		const code = codeOf(cause) ?? "CONNECTION_CLOSED";
		throw new LinkError(code, `Cannot connect to PostgreSQL at ${where}: ${cause instanceof Error ? cause.message : String(cause)}`, {
			cause,
		});
	} finally {
		clearTimeout(timer);
	}
}

function codeOf(error: unknown): string | undefined {
	const code = error instanceof Error && "code" in error ? error.code : undefined;
	return typeof code === "string" ? code : undefined;
}

async function encrypted(socket: Socket, place: DatabasePlace): Promise<Socket> {
	const answer = new Promise<Buffer>((resolve) => {
		socket.once("data", resolve);
	});
	socket.write(sslRequest);
	const bytes = await Promise.race([answer, ended(socket)]);
	// More than the one byte would be read as if it had come encrypted (CVE-2021-23222).
	if (bytes.length !== 1) throw new LinkError("PROTOCOL_VIOLATION", "it answered the request for TLS with more than one byte");
	if (bytes[0] !== 0x53) {
		if (place.sslMode === "prefer") return socket;
		throw new LinkError("TLS_REFUSED", `it offers no TLS and the URL says sslmode=${place.sslMode}`);
	}
	const verify = place.sslMode === "verify-ca" || place.sslMode === "verify-full";
	const secure = openTls({
		socket,
		rejectUnauthorized: verify,
		...(isIP(place.host) === 0 ? { servername: place.host } : { host: place.host }),
		...(place.sslAuthorities === undefined ? {} : { ca: place.sslAuthorities }),
		...(place.sslMode === "verify-ca" ? { checkServerIdentity: () => undefined } : {}),
	});
	await settled(secure, "secureConnect");
	return secure;
}

function settled(socket: Socket, event: "connect" | "secureConnect"): Promise<void> {
	const there = new Promise<void>((resolve) => {
		socket.once(event, resolve);
	});
	return Promise.race([there, ended(socket)]);
}

function ended(socket: Socket): Promise<never> {
	return new Promise<never>((_, reject) => {
		socket.once("error", reject);
		socket.once("close", () => reject(new Error("it closed the connection")));
	});
}
