import { parseToken } from "../protocol/token.ts";
import type { EnrollmentMethod } from "../protocol/codes.ts";
import type { EnrollInput } from "./input.ts";

/** What an unproven claim says of where it belongs: names, or the public part of a key. */
export type ClaimedPlace =
	| { readonly kind: "named"; readonly tenant: string; readonly siteCode: string | null }
	| { readonly kind: "selector"; readonly selector: string }
	| { readonly kind: "nowhere" };

/** The place a claim names before it is proven, for its record. */
export function claimedPlace({ siteKey, autoEnrollment, enrollmentKey, hostToken }: EnrollInput["credential"]): ClaimedPlace {
	const named = siteKey ?? autoEnrollment;
	if (named !== undefined) return { kind: "named", tenant: named.tenant ?? "default", siteCode: siteKey?.siteCode ?? null };
	const selector = parseToken(enrollmentKey ?? hostToken?.token ?? "")?.selector;
	return selector === undefined ? { kind: "nowhere" } : { kind: "selector", selector };
}

/** The limiter's scope of a request: the site, tenant or key it names, else the way in. */
export function limitScope(method: EnrollmentMethod, credential: EnrollInput["credential"]): string {
	const place = claimedPlace(credential);
	switch (place.kind) {
		case "named":
			return place.siteCode === null ? `tenant ${place.tenant}` : `site ${place.tenant}/${place.siteCode}`;
		case "selector":
			return `${method} ${place.selector}`;
		case "nowhere":
			return method;
	}
}
