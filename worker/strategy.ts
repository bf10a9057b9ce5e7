import { plainText } from "../src/lib/plain-text.ts";
import { Secret } from "../src/lib/secret.ts";
import { claimedKind, parseToken, type ParsedToken } from "../src/protocol/token.ts";
import { fitsHeader } from "./header-text.ts";
import { type SettingName, settings } from "./settings.ts";

/** How the worker proves itself the first time. */
export type EnrollKey =
	| { readonly kind: "site"; readonly key: Secret; readonly siteCode: string; readonly tenant: string | undefined }
	| { readonly kind: "enrollment"; readonly key: Secret }
	| { readonly kind: "host"; readonly token: Secret; readonly sharedSecret: Secret }
	/** The secret is proven, never sent (A6). */
	| { readonly kind: "auto"; readonly secret: Secret; readonly tenant: string };

/** How the worker becomes a member: by a key that lets it in, or with a credential that an admin made for it. */
export interface Strategy {
	readonly enrollKey: EnrollKey | undefined;
	/** The worker id to ask for when enrolling (A7): MUSTER_WORKER_ID without an API key. */
	readonly requestedId: string | undefined;
	/** The API-key strategy: run as this worker, never enroll (A12). */
	readonly apiKey: { readonly workerId: string; readonly key: Secret } | undefined;
}

type Values = Readonly<Partial<Record<SettingName, string>>>;

const secretLengthMin = 32;
const tenantDefault = "default";
const workerIdForm = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

/**
 * Settings that exclude each other (A13). MUSTER_SHARED_SECRET is not among them: the server has a variable of that name too, which may stand in the
 * same environment. Nor is MUSTER_SITE_CODE with MUSTER_ENROLL_TOKEN: the key's prefix alone says whether the code is needed.
 */
const conflicts: readonly (readonly [SettingName, SettingName, string])[] = [
	["enrollToken", "autoEnrollmentKey", "a worker enrolls with one of them"],
	["enrollToken", "workerApiKey", "a worker either enrolls or has its API key"],
	["autoEnrollmentKey", "workerApiKey", "a worker either enrolls or has its API key"],
];

/** Finds out which one strategy the settings choose (A13); adds a problem for each conflict and each value that cannot be right. */
export function readStrategy(values: Values, problems: string[]): Strategy {
	for (const [one, other, why] of conflicts) {
		if (values[one] !== undefined && values[other] !== undefined) problems.push(conflict(one, other, why));
	}
	const { enrollToken, autoEnrollmentKey, siteCode } = values;
	if (autoEnrollmentKey !== undefined && siteCode !== undefined && enrollToken === undefined) {
		problems.push(conflict("autoEnrollmentKey", "siteCode", "the code belongs to a site key, an auto-enrollment secret to a tenant"));
	}
	const token = readToken(values, problems);
	const auto = readAutoKey(values, problems);
	return { enrollKey: token ?? auto, requestedId: readRequestedId(values, problems), apiKey: readApiKey(values, problems) };
}

function conflict(one: SettingName, other: SettingName, why: string): string {
	return `Cannot use ${settings[one].variable} together with ${settings[other].variable}: ${why}, unset one of them`;
}

function readToken(values: Values, problems: string[]): EnrollKey | undefined {
	if (values.enrollToken === undefined) return undefined;
	const token = parseToken(values.enrollToken);
	if (token === undefined) {
		const kind = claimedKind(values.enrollToken);
		problems.push(
			kind === undefined
				? "Cannot use MUSTER_ENROLL_TOKEN: it does not begin with mst_site_, mst_enroll_ or mst_host_, copy it again (an auto-enrollment secret goes into MUSTER_AUTO_ENROLLMENT_KEY)"
				: `Cannot use MUSTER_ENROLL_TOKEN: it is no whole ${kind} key, a part is missing or mistyped, copy it again`,
		);
		return undefined;
	}
	return keyOfKind(token.kind, new Secret(values.enrollToken), values, problems);
}

function keyOfKind(kind: ParsedToken["kind"], key: Secret, values: Values, problems: string[]): EnrollKey | undefined {
	switch (kind) {
		case "enroll":
			return { kind: "enrollment", key };
		case "site":
			if (values.siteCode !== undefined) return { kind: "site", key, siteCode: values.siteCode, tenant: values.tenant };
			problems.push("Cannot enroll with a site key: MUSTER_SITE_CODE is not set, give the code of its site");
			return undefined;
		case "host":
			if (values.sharedSecret !== undefined) return { kind: "host", token: key, sharedSecret: new Secret(values.sharedSecret) };
			problems.push("Cannot enroll with a host token: MUSTER_SHARED_SECRET is not set, give the cluster's shared secret");
			return undefined;
		case "worker":
			problems.push("Cannot use MUSTER_ENROLL_TOKEN: it holds a worker's API key, give it as MUSTER_WORKER_API_KEY with MUSTER_WORKER_ID");
			return undefined;
	}
}

function readAutoKey({ autoEnrollmentKey: secret, tenant = tenantDefault }: Values, problems: string[]): EnrollKey | undefined {
	if (secret === undefined) return undefined;
	const before = problems.length;
	const kind = claimedKind(secret);
	if (kind !== undefined) {
		const where = kind === "worker" ? "MUSTER_WORKER_API_KEY with MUSTER_WORKER_ID" : "MUSTER_ENROLL_TOKEN";
		problems.push(`Cannot use MUSTER_AUTO_ENROLLMENT_KEY: it holds a key of the form mst_${kind}_…, give that as ${where}`);
	} else if (secret.length < secretLengthMin) {
		problems.push(
			`Cannot use MUSTER_AUTO_ENROLLMENT_KEY: it has ${secret.length} characters, a secret has ${secretLengthMin} or more, copy it again`,
		);
	}
	// The proof is over lines of text (DESIGN.md, HMAC transcript).
	if (!plainText.test(tenant)) problems.push(`Cannot use MUSTER_TENANT ${JSON.stringify(tenant)}: it holds control characters`);
	return problems.length === before ? { kind: "auto", secret: new Secret(secret), tenant } : undefined;
}

function readRequestedId({ workerId, workerApiKey }: Values, problems: string[]): string | undefined {
	if (workerId === undefined || workerApiKey !== undefined) return undefined;
	if (!workerIdForm.test(workerId)) {
		problems.push(
			`Cannot use MUSTER_WORKER_ID ${JSON.stringify(workerId)}: a worker id is 1 to 63 letters, digits, dots, dashes or underscores and begins with a letter or digit`,
		);
	}
	return workerId;
}

function readApiKey({ workerId, workerApiKey }: Values, problems: string[]): Strategy["apiKey"] {
	if (workerApiKey === undefined) return undefined;
	if (workerId === undefined) {
		problems.push("Cannot use MUSTER_WORKER_API_KEY alone: MUSTER_WORKER_ID is not set, give the worker's id too");
		return undefined;
	}
	if (!fitsHeader(workerId)) {
		problems.push(`Cannot use MUSTER_WORKER_ID ${JSON.stringify(workerId)}: no HTTP header can carry it, give the worker's id alone`);
	}
	// The key may be the admin's own text (A2), so only a text that claims our form is held to it.
	if (claimedKind(workerApiKey) !== undefined && parseToken(workerApiKey)?.kind !== "worker") {
		problems.push("Cannot use MUSTER_WORKER_API_KEY: it is no whole worker key (mst_worker_…), copy it again");
	} else if (!fitsHeader(workerApiKey)) {
		problems.push(
			"Cannot use MUSTER_WORKER_API_KEY: no HTTP header can carry it, a key is one line of visible ASCII characters without outer blanks",
		);
	}
	return { workerId, key: new Secret(workerApiKey) };
}
