/** Ties a standard WebSocket, as Deno gives it, to a session, and adds what that leaves out: limits, backpressure, cutting a dead peer. */
import { closeCodes } from "../protocol/codes.ts";
import { drainGate, room, SocketClosed } from "./drain.ts";
import { closeReason } from "./gate.ts";
import { limits } from "./limits.ts";
import type { ServeOptions, ServerSocket, SocketSession } from "./port.ts";

export type CloseSocket = ServerSocket["close"];

export interface Attachment {
	readonly socket: WebSocket;
	readonly sockets: NonNullable<ServeOptions["sockets"]>;
	/** Holds the close function of each open socket. */
	readonly open: Set<CloseSocket>;
	/** Counts, by peer, the connections that were cut and would not go. */
	readonly lingering: Lingering;
	readonly peer: Pick<ServerSocket, "peerAddress" | "subprotocol">;
	/** The one that was upgraded. */
	readonly request: Request;
	/** Drops the TCP connection of a peer that took our close frame and never answers. */
	readonly cut: () => void;
	onFault(error: unknown): void;
}

/** Attaches it. The session's `closed` is called once, however the socket ends. */
export function attachSocket(attachment: Attachment): void {
	const { socket, sockets, open, peer } = attachment;
	let session: SocketSession | undefined;
	const ends = endings(attachment, (code, reason) => guarded(() => session?.closed(code, reason)));
	const { gate, close } = ends;

	function push(texts: readonly string[]): Promise<void> | undefined {
		if (ends.hasBegun() || socket.readyState !== WebSocket.OPEN) return Promise.reject(new SocketClosed());
		let bytes = 0;
		for (const text of texts) {
			socket.send(text);
			bytes += text.length;
		}
		if (socket.bufferedAmount <= limits.sendBufferBytesMax) return gate.handed(bytes);
		close(closeCodes.fellBehind, "The peer reads too slowly");
		return Promise.reject(new SocketClosed());
	}

	/** A throw in a listener would end the process. */
	function guarded(work: () => void): void {
		try {
			work();
		} catch (error) {
			attachment.onFault(error);
			close(1011, "Internal server error");
		}
	}

	socket.binaryType = "arraybuffer";
	socket.addEventListener("open", () => {
		open.add(close);
		guarded(() => {
			session = sockets.open({ ...peer, send: (text) => push([text]) ?? room, push, close }, attachment.request);
		});
	});
	socket.addEventListener("message", ({ data }: MessageEvent<unknown>) => {
		if (ends.hasBegun()) return;
		if (typeof data !== "string") close(1003, "Text frames only");
		else if (isLonger(data, sockets.frameBytesMax)) close(closeCodes.tooBig, `Frames are ${sockets.frameBytesMax} bytes at most`);
		else guarded(() => session?.message(data));
	});
	socket.addEventListener("close", (event) => ends.gone(event.code, event.reason));
	// A close event follows every error; without a listener it would be reported as uncaught.
	socket.addEventListener("error", (event) => event.preventDefault());
}

/** How a socket ends: our close frame, then its answer or the cut. Each step happens once. */
function endings({ socket, sockets, open, lingering, peer, cut }: Attachment, closed: (code: number, reason: string) => void) {
	let graceTimer: ReturnType<typeof setTimeout> | undefined;
	let ended = false;
	let lingers = false;
	const gate = drainGate({
		buffered: () => socket.bufferedAmount,
		pollMs: limits.drainPollMs,
		stallMs: sockets.drainTimeoutMs,
		stalled: () => close(closeCodes.fellBehind, "The peer reads too slowly"),
	});
	const hasBegun = () => ended || graceTimer !== undefined;

	function close(code: number, reason: string): void {
		if (hasBegun()) return;
		gate.close();
		// Asked now: once it is closing, Deno says 0.
		const isStalled = socket.bufferedAmount > 0;
		graceTimer = setTimeout(() => {
			// A write that waits for a peer with a full window holds the connection whatever is closed above it; "close" comes when it has gone.
			lingers = isStalled;
			if (lingers) lingering.add(peer.peerAddress, 1);
			else cut();
			finish(code, reason);
		}, limits.closeGraceMs);
		socket.close(code, closeReason(reason));
	}

	function finish(code: number, reason: string): void {
		if (ended) return;
		ended = true;
		open.delete(close);
		clearTimeout(graceTimer);
		gate.close();
		closed(code, reason);
	}

	function gone(code: number, reason: string): void {
		if (lingers) lingering.add(peer.peerAddress, -1);
		lingers = false;
		finish(code, reason);
	}

	return { gate, close, gone, hasBegun };
}

/** Connections that ended for the program while the runtime still holds them, by peer address. */
export interface Lingering {
	add(peerAddress: string, change: 1 | -1): void;
	/** Whether this peer holds so many that it gets no new socket. */
	isFull(peerAddress: string): boolean;
}

/** Counts them, since the program's own cap no longer does: a peer that stalls socket after socket would else hold ever more. */
export function lingeringSockets(perPeerMax: number): Lingering {
	const counts = new Map<string, number>();
	return {
		add(peerAddress, change) {
			const next = (counts.get(peerAddress) ?? 0) + change;
			if (next > 0) counts.set(peerAddress, next);
			else counts.delete(peerAddress);
		},
		isFull: (peerAddress) => (counts.get(peerAddress) ?? 0) >= perPeerMax,
	};
}

/** Whether a text has more than `bytesMax` bytes in UTF-8; counts them only when its length leaves a doubt. */
function isLonger(text: string, bytesMax: number): boolean {
	if (text.length > bytesMax) return true;
	return text.length * 3 > bytesMax && new TextEncoder().encode(text).byteLength > bytesMax;
}
