/** Closed lists that server, worker, metrics and documents share. Adding a code here is an API change. */

/** Why an enrollment was refused (DESIGN.md, Verdicts; H8), with the HTTP status of the reply. */
export const refusalStatus = {
	bad_request: 400,
	enrollment_disabled: 400,
	bad_secret: 401,
	invalid_token: 401,
	clock_skew: 401,
	replayed: 401,
	not_allowed: 403,
	worker_exists: 409,
	expired: 410,
	revoked: 410,
	exhausted: 410,
	already_consumed: 410,
	race_consumed: 410,
	rate_limited: 429,
	locked_out: 429,
	mesh_mint_failed: 502,
	not_configured: 503,
	overloaded: 503,
} as const;

export type Refusal = keyof typeof refusalStatus;
export const refusals = Object.keys(refusalStatus) as readonly Refusal[];

/** What a worker does about a refusal: stop with an exit code, or wait and retry, or correct itself once. */
export type RefusalAnswer = "stop" | "wait" | "correct-clock" | "new-nonce";

/** The worker's answer per refusal (DESIGN.md, Verdicts, last column). */
export const refusalAnswer: Record<Refusal, RefusalAnswer> = {
	bad_request: "stop",
	enrollment_disabled: "stop",
	bad_secret: "stop",
	invalid_token: "stop",
	clock_skew: "correct-clock",
	replayed: "new-nonce",
	not_allowed: "stop",
	worker_exists: "stop",
	expired: "stop",
	revoked: "stop",
	exhausted: "stop",
	already_consumed: "stop",
	race_consumed: "stop",
	rate_limited: "wait",
	locked_out: "wait",
	mesh_mint_failed: "wait",
	not_configured: "wait",
	overloaded: "wait",
};

/** How an admitted claim relates to what was there before (S4, G6). */
export const outcomes = ["NEW", "REUSED", "MOVED", "REPLAYED"] as const;
export type Outcome = (typeof outcomes)[number];

export const pendingReasons = ["COLLISION", "APPROVAL_REQUIRED"] as const;
export type PendingReason = (typeof pendingReasons)[number];

export const enrollmentMethods = ["API_KEY", "AUTO_ENROLLMENT", "ENROLLMENT_KEY", "SITE_KEY", "HOST_TOKEN"] as const;
export type EnrollmentMethod = (typeof enrollmentMethods)[number];

/** Close codes of the WebSocket. 44xx up to 4429 are graphql-transport-ws's own; the others are Muster's. */
export const closeCodes = {
	/** The server is stopping; reconnect with backoff. */
	goingAway: 1001,
	/** A frame was longer than the limit. */
	tooBig: 1009,
	/** The message was not JSON or not of the protocol. */
	invalidMessage: 4400,
	/** Something was asked before `connection_ack`. */
	unauthorized: 4401,
	/** The credential in `connection_init` was refused. */
	forbidden: 4403,
	subprotocolNotAcceptable: 4406,
	/** No `connection_init` within the wait. */
	initTimeout: 4408,
	/** An operation id is in use. */
	subscriberExists: 4409,
	tooManyInits: 4429,
	/** The subscriber read slower than events came and its bounded buffer ran over: nothing is skipped silently, reconnect and read the state anew. */
	fellBehind: 4413,
	/** The worker's credential was revoked, or its worker deleted, while the socket was open. */
	credentialRevoked: 4423,
	/** Another socket of the same worker took over. */
	replaced: 4424,
} as const;

/** Exit codes of the worker and the server (sysexits.h). */
export const exitCodes = {
	ok: 0,
	/** A command line or request that can never work. */
	usage: 64,
	/** The server or npm cannot be reached. */
	unavailable: 69,
	/** A fault of the program. */
	software: 70,
	/** The state directory cannot be made or written. */
	cannotCreate: 73,
	/** Cached id and key do not belong together, or the state cannot be read. */
	ioError: 74,
	/** Try again later: only for `enroll`, which does not wait. */
	temporary: 75,
	/** The server refused for good. */
	noPermission: 77,
	/** The configuration is wrong. */
	config: 78,
} as const;
