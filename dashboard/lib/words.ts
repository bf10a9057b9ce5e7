/** Codes of the API in plain words, with what to do. Typed by the schema: a new code without words does not compile. */
import type { ResultOf, VariablesOf } from "../api/graphql.ts";
import type { attemptFields } from "../operations/attempts.ts";
import type { claimsQuery } from "../operations/claims.ts";
import type { hostRowFields } from "../operations/hosts.ts";
import type { createHostMutation } from "../operations/host.ts";
import type { meshNodesQuery } from "../operations/mesh.ts";
import type { stacksQuery } from "../operations/stacks.ts";
import type { webhooksQuery } from "../operations/webhooks.ts";

export type HostState = ResultOf<typeof hostRowFields>["state"];
export type Attempt = ResultOf<typeof attemptFields>;
export type Reason = NonNullable<Attempt["reason"]>;
export type Method = NonNullable<Attempt["method"]>;
export type Held = ResultOf<typeof claimsQuery>["workers"]["nodes"][number];
export type SnippetFormat = NonNullable<VariablesOf<typeof createHostMutation>["format"]>;
export type StackState = NonNullable<ResultOf<typeof stacksQuery>["host"]>["stacks"][number]["state"];
export type MeshNode = ResultOf<typeof meshNodesQuery>["meshNodes"]["nodes"][number];
export type DeliveryState = ResultOf<typeof webhooksQuery>["webhooks"]["nodes"][number]["recentDeliveries"][number]["state"];

/** Why an attempt was refused, and what the reader can do. */
export const refusals: Readonly<Record<Reason, { readonly what: string; readonly todo: string }>> = {
	bad_request: { what: "The request was malformed", todo: "Check the worker's version and its name; its log says which field" },
	enrollment_disabled: { what: "This way in is switched off", todo: "Turn auto-enrollment on, or let this host in with a key" },
	bad_secret: { what: "The secret is wrong", todo: "Copy the install line again; MUSTER_SHARED_SECRET must be the server's" },
	invalid_token: { what: "The key is unknown or was not copied whole", todo: "Copy it again, with the site it belongs to" },
	clock_skew: { what: "The host's clock is more than five minutes off", todo: "Correct its clock (timedatectl), then start the worker" },
	replayed: { what: "The same request came before", todo: "Restart the worker. If nobody restarted it, somebody copied the request" },
	not_allowed: {
		what: "The key may not be used from there",
		todo: "Check its allowed addresses, its node name and the site's approval policy",
	},
	worker_exists: {
		what: "The worker id it asked for is another machine's",
		todo: "Choose another MUSTER_WORKER_ID, or delete the old worker",
	},
	expired: { what: "The key has expired", todo: "Regenerate the token, or make a new key" },
	revoked: { what: "The key was revoked or rotated away", todo: "Give the host the site's new key" },
	exhausted: { what: "The key has had all its uses", todo: "Make a new enrollment key with more uses" },
	already_consumed: { what: "The one-use token was used before", todo: "Regenerate the host's token and paste the new line" },
	race_consumed: { what: "Two used the token at the same moment", todo: "Regenerate the token; find the second host that has the line" },
	rate_limited: { what: "Too many refused attempts from one address", todo: "Nothing: the worker waits and tries again" },
	locked_out: { what: "The address is locked out after repeated wrong keys", todo: "Find who tries there; the lock ends by itself" },
	mesh_mint_failed: { what: "The mesh gave out no key", todo: "Check Headscale; the token is untouched and the worker tries again" },
	not_configured: { what: "The server is not set up for this kind of key", todo: "Set MUSTER_SHARED_SECRET on the server and restart it" },
	overloaded: { what: "The server had too much to do, or its database was away", todo: "Nothing: the worker tries again" },
};

export const methods: Readonly<Record<Method, string>> = {
	API_KEY: "API key",
	AUTO_ENROLLMENT: "auto-enrollment",
	ENROLLMENT_KEY: "enrollment key",
	HOST_TOKEN: "host token",
	SITE_KEY: "site key",
};

/** What an accepted attempt came to. */
export function outcomeWords(attempt: Pick<Attempt, "outcome">): string {
	if (attempt.outcome === null) return "held until an operator decides";
	return {
		NEW: "new machine, let in",
		REUSED: "known machine, let in again",
		MOVED: "moved here from another site",
		REPLAYED: "asked again, same answer",
	}[attempt.outcome];
}

/** What a state means to who looks after the host. */
export const states: Readonly<Record<HostState, { readonly label: string; readonly means: string }>> = {
	PENDING: { label: "Pending", means: "Made here, its worker has not come yet" },
	MONITORING: { label: "Monitoring", means: "Seen and read; nothing on it is changed" },
	FUSING: { label: "Fusing", means: "On its way to being managed; undone by itself when it takes too long" },
	FUSED: { label: "Fused", means: "Its containers are managed from here" },
	DEGRADED: { label: "Degraded", means: "Not heard for a while; what was known last is shown" },
};
export const stateOrder = ["MONITORING", "FUSED", "FUSING", "PENDING", "DEGRADED"] as const satisfies readonly HostState[];

/** What a stack is, as its host's worker reported last. */
export const stackStates: Readonly<Record<StackState, { readonly label: string; readonly means: string }>> = {
	CHANGING: { label: "changing", means: "A command about it has not ended" },
	FAILED: { label: "failed", means: "The last change did not succeed" },
	PARTIAL: { label: "runs in part", means: "Some of its containers run" },
	RUNNING: { label: "running", means: "All of its containers run, or ran to their end" },
	STOPPED: { label: "stopped", means: "None of its containers runs" },
};

/** Who knows of a node of the mesh. */
export const meshPlaces: Readonly<Record<MeshNode["place"], string>> = {
	BOTH: "the mesh and its worker",
	MESH_ONLY: "the mesh alone",
	REPORTED_ONLY: "its worker alone",
};

export const deliveryStates: Readonly<Record<DeliveryState, string>> = {
	DELIVERED: "delivered",
	FAILED: "given up",
	PENDING: "to be sent",
};

/** Every kind of alert; a test holds it to what the server raises. */
export const alertKinds = [
	"COLLISION",
	"HOST_DEGRADED",
	"HOST_RECOVERED",
	"WORKER_EXISTS",
	"UNFAMILIAR_WORKER",
	"LOCKOUT",
	"AUTO_ENROLLMENT_LEFT_ON",
	"KEY_EXHAUSTED",
	"KEY_EXPIRING",
	"FUSE_FAILED",
	"ENGINE_CHANGED",
	"MESH_DOWN",
	"MESH_RECOVERED",
] as const;

/** Errors of the API that say more to people with a word on what to do. */
export const errorHelp: Readonly<Record<string, string>> = {
	FORBIDDEN: "Your role may not do this. Ask an admin, or sign in with another token.",
	CONFLICT: "Somebody changed it meanwhile. Look at it as it is now, and decide again.",
	NOT_FOUND: "It is not there any more. Go back to the list.",
	SERVICE_UNAVAILABLE: "The server is busy. Try again in a moment.",
};
