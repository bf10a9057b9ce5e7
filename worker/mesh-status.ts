/** What a mesh client says of this host, and what that comes to. Pure: the shell is mesh.ts. */
import * as v from "valibot";

const nodeSchema = v.object({ HostName: v.optional(v.string(), ""), DNSName: v.optional(v.string(), "") });
/** Of `GET /localapi/v0/status`; the client leaves out what is false or empty. */
const statusSchema = v.object({
	BackendState: v.string(),
	HaveNodeKey: v.optional(v.boolean(), false),
	AuthURL: v.optional(v.string(), ""),
	TUN: v.optional(v.boolean(), false),
	TailscaleIPs: v.optional(v.nullable(v.array(v.string()))),
	Self: v.optional(v.nullable(nodeSchema)),
});

/** A mesh client's word on this host. */
export interface MeshStatus {
	/** `NoState`, `NeedsLogin`, `NeedsMachineAuth`, `Stopped`, `Starting` or `Running`. */
	readonly backend: string;
	readonly hasNodeKey: boolean;
	/** The control server asks for a login: it has answered, and does not know this node. */
	readonly asksForLogin: boolean;
	/** The client gives this host a route to the mesh. */
	readonly tun: boolean;
	readonly addresses: readonly string[];
	readonly nodeName: string | undefined;
}

/** Reads the client's status; undefined when it is none. */
export function parseStatus(text: string): MeshStatus | undefined {
	let json: unknown;
	try {
		json = JSON.parse(text);
	} catch {
		return undefined;
	}
	const parsed = v.safeParse(statusSchema, json);
	if (!parsed.success) return undefined;
	const { BackendState: backend, HaveNodeKey: hasNodeKey, AuthURL, TUN: tun, TailscaleIPs, Self } = parsed.output;
	// Headscale names a node by a DNS label of its own making, which may differ from what was asked for.
	const nodeName = Self?.DNSName.split(".")[0] || Self?.HostName || undefined;
	return { backend, hasNodeKey, asksForLogin: AuthURL !== "", tun, addresses: TailscaleIPs ?? [], nodeName };
}

/** How this host stands with the mesh. */
export type Standing =
	/** A member, whether or not it reaches anybody now: `Starting` stays for good where no relay can be reached (INTEGRATIONS B). */
	| "joined"
	/** It has a login and waits for the control server. */
	| "resuming"
	/** It has no login, or one that the control server does not know any more. */
	| "outside"
	/** Somebody switched the client off. */
	| "stopped"
	/** An admin of the mesh has to let it in. */
	| "unapproved";

/**
 * Judges a status. Neither a login that is kept on disk nor addresses alone are a proof of membership (H7): a client shows `Running` with those it
 * remembers, while the control server already asks for a login. Of the host's own client (`own` false) somebody may be renewing the login just now.
 */
export function standingOf({ backend, hasNodeKey, addresses, asksForLogin }: MeshStatus, own = true): Standing {
	if (backend === "NeedsLogin" || (own && asksForLogin)) return "outside";
	if (backend === "NeedsMachineAuth") return "unapproved";
	if (backend === "Stopped") return "stopped";
	if (hasNodeKey && addresses.length > 0) return "joined";
	return hasNodeKey ? "resuming" : "outside";
}

/** What is known beside the client's word. */
export interface JoinFacts {
	/** A key from the enroll reply is kept. */
	readonly hasKey: boolean;
	/** This host was a member of this very mesh before: the worker's own mark says so. */
	readonly marked: boolean;
	/** The client is logged in, or tries to be, where the enroll reply says; true when it is nowhere yet. */
	readonly sameControl: boolean;
	/** The client belongs to the worker, which may change it; else to the host. */
	readonly own: boolean;
}

/** What to do next on the way into the mesh. */
export type Move =
	| "done"
	/** Look again soon. */
	| "wait"
	/** `tailscale up` with the kept key. */
	| "login"
	/** `tailscale up` without one: the login is there. */
	| "resume"
	/** No login and no key. */
	| "lost"
	/** The host's own client is on another mesh. */
	| "foreign"
	/** The host's own client is off. */
	| "off";

/** Decides the next move. `NeedsLogin` right after a start passes by itself, so the login of a marked host is only lost once the control server asks for one. */
export function nextMove(status: MeshStatus, facts: JoinFacts): Move {
	const standing = standingOf(status, facts.own);
	if (!facts.sameControl && standing !== "outside") return facts.own && facts.hasKey ? "login" : facts.own ? "lost" : "foreign";
	switch (standing) {
		case "joined":
			return "done";
		case "unapproved":
			return "wait";
		case "stopped":
			return facts.own ? "resume" : "off";
		case "resuming":
			// After a key was refused the client looks like this too: without the mark, only a key brings it further.
			return facts.marked || !facts.hasKey ? "wait" : "login";
		case "outside":
			if (facts.hasKey) return "login";
			return facts.marked && status.hasNodeKey && !status.asksForLogin ? "wait" : "lost";
	}
}

/** A worker's name as a mesh takes it: a DNS label. */
export function meshHostname(name: string): string {
	const label = name
		.toLowerCase()
		.replaceAll(/[^a-z0-9]+/g, "-")
		.slice(0, 63)
		.replaceAll(/^-+|-+$/g, "");
	return label === "" ? "muster-worker" : label;
}

/**
 * Whether what `tailscale up` said means that the control server refused the key itself, so that no retry with it can help.
 * Seen: "authkey already used", "authkey expired", "invalid pre auth key", "AuthKey not found", "HTTP error 401" (Headscale 0.25 to 0.29).
 */
export function isKeyRefusal(output: string): boolean {
	return /auth ?key (already|expired|not found|has)|invalid (pre ?auth|auth|key)|\b401\b|unauthorized/i.test(output);
}
