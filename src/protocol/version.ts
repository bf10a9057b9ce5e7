/**
 * The integer that a worker and a server compare to know whether they understand each other.
 * 1 · 2026-11-21 · enroll with sealed replies, heartbeat over graphql-transport-ws.
 */
export const protocolVersion = 1;
