import type { Refusal } from "../protocol/codes.ts";

/** What the worker is told when there is nothing more particular to say. None says more than the caller has proven. */
const messages: Record<Refusal, string> = {
	bad_request: "The request is malformed",
	enrollment_disabled:
		"This way in is switched off: an admin turns auto-enrollment on for its tenant, MUSTER_EXTERNAL_WORKERS=on allows enrollment at all",
	bad_secret: "The secret is wrong: check MUSTER_SHARED_SECRET of a host token, or MUSTER_AUTO_ENROLLMENT_KEY and the tenant",
	invalid_token: "The key is not valid: check that it was copied whole, with the site code or tenant it belongs to",
	clock_skew: "The timestamp is more than five minutes from the server's time: correct the clock",
	replayed: "This request was seen before: make a new one",
	not_allowed: "The key may not be used from here",
	worker_exists: "The requested worker id belongs to another machine",
	expired: "The key has expired: ask for a new one",
	revoked: "The key was revoked: ask for a new one",
	exhausted: "The key has had all its uses: ask for a new one",
	already_consumed: "The host token was used before: regenerate it",
	race_consumed: "The host token was used by another request at the same time: regenerate it",
	rate_limited: "Too many refused attempts from this address: wait and try again",
	locked_out: "This address is locked out after repeated wrong keys: wait and try again",
	mesh_mint_failed: "The mesh did not give out a key: the token is untouched, try again",
	not_configured: "The server is not configured for this kind of key: ask its administrator",
	overloaded: "The server has too much to do or its database is away: try again",
};

/** The text for a refusal that says what to do about it. */
export function refusalMessage(reason: Refusal): string {
	return messages[reason];
}
