/** The ways in that the tests of refusals present keys by, and the servers that the keys are presented to. */
import { randomBytes } from "node:crypto";
import { autoEnrollmentMac } from "../../src/protocol/auto-enroll.ts";
import type { EnrollmentMethod } from "../../src/protocol/codes.ts";
import { mintToken, parseToken, type TokenKind } from "../../src/protocol/token.ts";
import type { TestDatabase } from "../support/db.ts";
import { asAdmin, type Muster } from "../support/muster.ts";
import { hex } from "../support/pipeline.ts";
import type { Wire } from "../support/wire.ts";
import { newSite } from "./support.ts";

/** The kinds of key, by the name of their field in EnrollCredential. */
export const kinds = ["siteKey", "enrollmentKey", "hostToken", "autoEnrollment"] as const;
export type Kind = (typeof kinds)[number];

export const methods: Record<Kind, EnrollmentMethod> = {
	siteKey: "SITE_KEY",
	enrollmentKey: "ENROLLMENT_KEY",
	hostToken: "HOST_TOKEN",
	autoEnrollment: "AUTO_ENROLLMENT",
};

export const sharedSecret = "the shared secret of these tests";
/** What all servers of the stage have: little patience, so that a limit is reached with few requests. */
export const stageEnv = {
	MUSTER_TRUSTED_PROXIES: "127.0.0.1/32",
	MUSTER_MASTER_KEY: Buffer.alloc(32, 7).toString("base64"),
	MUSTER_SHARED_SECRET: sharedSecret,
	MUSTER_RATE_LIMIT: "4",
	MUSTER_LOCKOUT: "3/15m",
} as const;

/** The same with a mesh that is down: nothing listens there. */
export const meshDownEnv = {
	...stageEnv,
	MUSTER_MESH: "headscale",
	MUSTER_HEADSCALE_URL: "http://127.0.0.1:1",
	MUSTER_HEADSCALE_API_KEY: "an API key of these tests",
	MUSTER_HEADSCALE_USER: "muster",
	MUSTER_SERVER_ADDR: "100.64.0.1:7480",
} as const;

/** A server and its database. */
export interface Place {
	readonly server: Muster;
	readonly database: TestDatabase;
}

/** Servers on one database. */
export interface Stage extends Place {
	/** As `server`, but its database is at the end of `wire`. */
	readonly twin: Muster;
	readonly wire: Wire;
	/** With MUSTER_EXTERNAL_WORKERS=off. */
	readonly closed: Muster;
	/** Without MUSTER_SHARED_SECRET. */
	readonly bare: Muster;
	/** With a mesh that is down. */
	readonly meshed: Muster;
}

/** What a worker says of itself; a machine and enrollment of its own. */
export interface Claim {
	readonly enrollmentId: string;
	readonly worker: { readonly name: string; readonly hostname: string; readonly machineUid: string; readonly requestedId?: string };
}

export interface Input extends Claim {
	readonly credential: object;
}

/** What an auto-enrollment is signed with, instead of a new nonce and the time of now. */
export interface Proof {
	readonly nonce?: string;
	readonly timestamp?: string;
}

/** One live key and how it is presented. */
export interface Way {
	/** The site's code, the key's id, the host's id, or the tenant: what the admin's mutations name it by. */
	readonly id: string;
	readonly keyId: string;
	/** What must not be shown, in clear or in part. */
	readonly secrets: readonly string[];
	claim(facts?: Partial<Claim["worker"]>): Claim;
	right(claim: Claim, proof?: Proof): Input;
	/** The same place named, with a secret that is not its own. */
	wrong(claim: Claim): Input;
	/** A token in place of the right one; of kinds that have tokens. */
	withToken(claim: Claim, token: string): Input;
	readonly token: string;
}

/** Makes a new key of a kind by the API. @param more what else an enrollment key is made with */
export async function openWay(stage: Place, kind: Kind, more: object = {}): Promise<Way> {
	return { siteKey: siteWay, enrollmentKey: enrollmentWay, hostToken: hostWay, autoEnrollment: autoWay }[kind](stage, more);
}

/** A well-formed token with the selector of another and a secret of its own. */
export function withOtherSecret(text: string): string {
	const token = parseToken(text);
	if (token === undefined) throw new Error("This is no token");
	return mintToken(token.kind, Buffer.concat([Buffer.from(token.selector, "hex"), randomBytes(32)])).text;
}

/** A well-formed token that no server has made. */
export function unknownToken(kind: TokenKind): string {
	return mintToken(kind, randomBytes(38)).text;
}

function tokenWay(
	from: {
		readonly id: string;
		readonly keyId: string;
		readonly token: string;
		readonly name?: string;
		readonly secrets?: readonly string[];
	},
	credential: (token: string) => object,
): Way {
	const withToken = (claim: Claim, token: string) => ({ ...claim, credential: credential(token) });
	return {
		id: from.id,
		keyId: from.keyId,
		token: from.token,
		secrets: [from.token, parseToken(from.token)?.secret ?? from.token, ...(from.secrets ?? [])],
		claim: (facts) => newClaim({ ...(from.name === undefined ? {} : { name: from.name }), ...facts }),
		right: (claim) => withToken(claim, from.token),
		wrong: (claim) => withToken(claim, withOtherSecret(from.token)),
		withToken,
	};
}

async function siteWay(stage: Place): Promise<Way> {
	const { siteCode, key } = await newSite(stage.server);
	const keyId = await keyOf(stage, "k.site_id = (select id from sites where code = $1) and k.active", siteCode);
	return tokenWay({ id: siteCode, keyId, token: key }, (token) => ({ siteKey: { siteCode, key: token } }));
}

async function enrollmentWay(stage: Place, more: object): Promise<Way> {
	const { siteCode } = await newSite(stage.server);
	const { createEnrollmentKey } = await asAdmin(
		stage.server,
		"mutation ($input: CreateEnrollmentKeyInput!) { createEnrollmentKey(input: $input) { secret key { id } } }",
		{ input: { name: "a key of the tests", siteCode, ...more } },
	);
	const id = String(createEnrollmentKey.key.id);
	return tokenWay({ id, keyId: id, token: String(createEnrollmentKey.secret) }, (token) => ({ enrollmentKey: token }));
}

async function hostWay(stage: Place): Promise<Way> {
	const name = `host-${hex(6)}`;
	const { createHost } = await asAdmin(
		stage.server,
		"mutation ($input: CreateHostInput!) { createHost(input: $input) { secret host { id } } }",
		{ input: { name } },
	);
	const id = String(createHost.host.id);
	const keyId = await keyOf(stage, "k.host_id = $1", id);
	return tokenWay({ id, keyId, name, token: String(createHost.secret), secrets: [sharedSecret] }, (token) => ({
		hostToken: { token, sharedSecret },
	}));
}

/** The tenant's auto-enrollment, turned on with a secret of this way's own. */
async function autoWay(stage: Place): Promise<Way> {
	const secret = hex(20);
	await configureAuto(stage.server, { enabled: true, enrollmentSecret: secret });
	const keyId = await keyOf(stage, "k.kind = $1 and k.active", "auto");
	const sign = (by: string, claim: Claim, more: Proof = {}): Input => {
		const proof = { nonce: hex(16), timestamp: new Date().toISOString(), ...more };
		const { name, machineUid, requestedId = null } = claim.worker;
		const mac = autoEnrollmentMac(by, { tenant: "default", enrollmentId: claim.enrollmentId, name, requestedId, machineUid, ...proof });
		return { ...claim, credential: { autoEnrollment: { ...proof, mac } } };
	};
	return {
		id: "default",
		keyId,
		token: "",
		secrets: [secret],
		claim: newClaim,
		right: (claim, proof) => sign(secret, claim, proof),
		wrong: (claim) => sign(hex(20), claim),
		withToken() {
			throw new Error("Auto-enrollment has no tokens");
		},
	};
}

/** Changes the default tenant's auto-enrollment. */
export function configureAuto(server: Muster, input: { readonly enabled: boolean; readonly enrollmentSecret?: string }) {
	const mutation =
		"mutation ($input: ConfigureAutoEnrollmentInput!) { configureAutoEnrollment(input: $input) { autoEnrollment { enabled } } }";
	return asAdmin(server, mutation, { input });
}

function newClaim(facts: Partial<Claim["worker"]> = {}): Claim {
	return { enrollmentId: hex(16), worker: { name: "robot", hostname: "robot", machineUid: `uid-${hex(12)}`, ...facts } };
}

async function keyOf({ database }: Place, condition: string, value: string): Promise<string> {
	const rows = await database.db.sql.unsafe(`select k.id from keys k where ${condition}`, [value]);
	return String(rows[0]?.["id"]);
}
