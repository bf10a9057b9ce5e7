/** Numbers that both adapters share. */
export const limits = {
	/** Above the 12 s between two pings of an event stream, with room for a lost one. */
	httpIdleSeconds: 60,
	/** How long a peer may take to answer a close frame before its connection is cut, in milliseconds. */
	closeGraceMs: 3_000,
	/** Most bytes that wait for one peer; whoever awaits `send` never gets near, this stops floods of pings that nobody reads. */
	sendBufferBytesMax: 16 * 1024 * 1024,
	/** Bun tells when a socket drains; looking is only the safety net that finds stalled peers, in milliseconds. */
	drainSafetyPollMs: 500,
	/** Deno does not tell: look this often, in milliseconds. 64 KiB a look is 13 MB/s a socket. */
	drainPollMs: 5,
	/** Deno: cut connections of one peer that may hang on before it gets no new socket; each may hold 4 MB in the kernel. */
	lingeringPerPeerMax: 64,
} as const;
