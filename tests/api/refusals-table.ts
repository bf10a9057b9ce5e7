/** Every way to be refused, as data: one row for each reason and kind of key that it can meet. */
import type { Refusal } from "../../src/protocol/codes.ts";
import { asAdmin, type GraphQLReply, type Muster } from "../support/muster.ts";
import { hex, holding, lockWaiters } from "../support/pipeline.ts";
import { saturateArgon2 } from "./refusals-argon2.ts";
import { configureAuto, type Input, type Kind, kinds, type Stage, type Way } from "./refusals-ways.ts";
import { actOn, enroll, heartbeat, rotate } from "./support.ts";

/** The request that is to be refused. */
export interface Presented {
	readonly input: Input;
	/** Whom it is sent to; the stage's first server when left out. */
	readonly server?: Muster;
	/** Sends it; when left out, as it is. */
	readonly ask?: () => Promise<GraphQLReply>;
}

export interface Row {
	readonly reason: Refusal;
	readonly kind: Kind;
	readonly how: string;
	/**
	 * Where the attempt is found afterwards. `of nobody`: a row without a tenant, and no audit line, since a malformed request is not asked
	 * where it belongs. `nowhere`: there was no database to write to.
	 */
	readonly recorded: "in full" | "of nobody" | "nowhere";
	/** What the enrollment key is made with. */
	readonly key: object;
	arrange(stage: Stage, way: Way, source: string): Presented | Promise<Presented>;
}

const tokenKinds = ["siteKey", "enrollmentKey", "hostToken"] as const;
const minutes = (count: number) => new Date(Date.now() + count * 60_000).toISOString();

function rows(
	reason: Refusal,
	of: readonly Kind[],
	how: string,
	arrange: Row["arrange"],
	more: Partial<Pick<Row, "recorded" | "key">> = {},
): Row[] {
	return of.map((kind) => ({ reason, kind, how, arrange, recorded: "in full", key: {}, ...more }));
}

/** The worker's id and API key; throws when it was not let in. */
async function letIn(server: Muster, input: Input): Promise<{ readonly workerId: string; readonly apiKey: string }> {
	const { data } = await enroll(server, input);
	if (data.enroll.__typename !== "Enrolled") throw new Error(`A right key was not let in: ${JSON.stringify(data.enroll)}`);
	return data.enroll;
}

/** A request for a worker id that is another machine's: a right key, refused. */
async function forTakenId({ server }: Stage, way: Way): Promise<() => Input> {
	const requestedId = `taken-${hex(6)}`;
	const { createSite, rotateSiteKey } = await asAdmin(
		server,
		`mutation ($code: String!) { createSite(input: { code: $code }) { site { id } } rotateSiteKey(siteCode: $code) { secret } }`,
		{ code: requestedId },
	);
	if (createSite === null) throw new Error("No site was made");
	const owner = way.claim({ name: "owner", requestedId });
	await letIn(server, { ...owner, credential: { siteKey: { siteCode: requestedId, key: rotateSiteKey.secret } } });
	return () => way.right(way.claim({ requestedId }));
}

const endKey = ({ database }: Stage, { keyId }: Way) =>
	database.db.sql`update keys set expires_at = now() - interval '1 second' where id = ${keyId}`;

export const table: readonly Row[] = [
	...rows("bad_request", kinds, "the enrollment id was used by another machine", async ({ server }, way) => {
		const first = way.claim();
		await letIn(server, way.right(first));
		return { input: way.right({ ...way.claim(), enrollmentId: first.enrollmentId }) };
	}),
	...rows(
		"bad_request",
		kinds,
		"the machine uid is malformed",
		(_, way) => ({ input: way.right(way.claim({ machineUid: `not a uid ${hex(6)}` })) }),
		{ recorded: "of nobody" },
	),

	...rows("enrollment_disabled", kinds, "the server has MUSTER_EXTERNAL_WORKERS=off", ({ closed }, way) => ({
		server: closed,
		input: way.right(way.claim()),
	})),
	...rows("enrollment_disabled", ["autoEnrollment"], "the tenant has it turned off", async ({ server }, way) => {
		await configureAuto(server, { enabled: false });
		return { input: way.right(way.claim()) };
	}),

	...rows("bad_secret", ["hostToken"], "the shared secret is another", (_, way) => ({
		input: { ...way.claim(), credential: { hostToken: { token: way.token, sharedSecret: hex(20) } } },
	})),
	...rows("bad_secret", ["autoEnrollment"], "the proof was made with another secret", (_, way) => ({ input: way.wrong(way.claim()) })),
	...rows("bad_secret", ["autoEnrollment"], "the secret was replaced", async ({ server }, way) => {
		await configureAuto(server, { enabled: true, enrollmentSecret: hex(20) });
		return { input: way.right(way.claim()) };
	}),
	...rows("bad_secret", ["autoEnrollment"], "the proof was made for another machine", (_, way) => {
		const { credential } = way.right(way.claim());
		return { input: { ...way.claim(), credential } };
	}),

	...rows("invalid_token", tokenKinds, "the secret part is another", (_, way) => ({ input: way.wrong(way.claim()) })),

	...rows("clock_skew", ["autoEnrollment"], "the clock is six minutes behind", (_, way) => ({
		input: way.right(way.claim(), { timestamp: minutes(-6) }),
	})),
	...rows("clock_skew", ["autoEnrollment"], "the clock is six minutes ahead", (_, way) => ({
		input: way.right(way.claim(), { timestamp: minutes(6) }),
	})),

	...rows("replayed", ["autoEnrollment"], "the very request was sent before", async ({ server }, way) => {
		const input = way.right(way.claim());
		await letIn(server, input);
		return { input };
	}),
	...rows("replayed", ["autoEnrollment"], "the nonce was used by another machine", async ({ server }, way) => {
		const nonce = hex(16);
		await letIn(server, way.right(way.claim(), { nonce }));
		return { input: way.right(way.claim(), { nonce }) };
	}),
	...rows("replayed", tokenKinds, "the credential of this enrollment id is in use", async ({ server }, way) => {
		const input = way.right(way.claim());
		await heartbeat(server, await letIn(server, input));
		return { input };
	}),

	...rows("not_allowed", ["siteKey", "enrollmentKey", "autoEnrollment"], "the machine's worker was revoked", async ({ server }, way) => {
		const claim = way.claim();
		await actOn(server, "revokeWorker", (await letIn(server, way.right(claim))).workerId);
		return { input: way.right({ ...claim, enrollmentId: hex(16) }) };
	}),
	...rows("not_allowed", ["enrollmentKey"], "it comes from outside of the key's ranges", (_, way) => ({ input: way.right(way.claim()) }), {
		key: { allowedCidrs: ["192.0.2.0/24"] },
	}),
	...rows("not_allowed", ["hostToken"], "the node name is another than the host's", (_, way) => ({
		input: way.right(way.claim({ name: "another" })),
	})),

	...rows("worker_exists", kinds, "the requested id is another machine's", async (stage, way) => ({
		input: (await forTakenId(stage, way))(),
	})),

	...rows("expired", ["siteKey"], "its grace is over", async ({ server, database }, way) => {
		await rotate(server, way.id, 3_600);
		await database.db.sql`update keys set grace_ends_at = now() - interval '1 second' where id = ${way.keyId}`;
		return { input: way.right(way.claim()) };
	}),
	...rows("expired", ["enrollmentKey", "hostToken"], "its hours are over", async (stage, way) => {
		await endKey(stage, way);
		return { input: way.right(way.claim()) };
	}),

	...rows("revoked", ["siteKey"], "it was rotated away", async ({ server }, way) => {
		await rotate(server, way.id);
		return { input: way.right(way.claim()) };
	}),
	...rows("revoked", ["enrollmentKey"], "an admin revoked it", async ({ server }, way) => {
		await asAdmin(server, "mutation ($id: ID!) { revokeEnrollmentKey(id: $id) { key { id } } }", { id: way.id });
		return { input: way.right(way.claim()) };
	}),
	...rows("revoked", ["hostToken"], "the host has a newer one", async ({ server }, way) => {
		await asAdmin(server, "mutation ($id: ID!) { regenerateHostToken(id: $id) { secret } }", { id: way.id });
		return { input: way.right(way.claim()) };
	}),

	...rows(
		"exhausted",
		["enrollmentKey"],
		"its one use is had",
		async ({ server }, way) => {
			await letIn(server, way.right(way.claim()));
			return { input: way.right(way.claim()) };
		},
		{ key: { maxUses: 1 } },
	),

	...rows("already_consumed", ["hostToken"], "it was used before", async ({ server }, way) => {
		await letIn(server, way.right(way.claim()));
		return { input: way.right(way.claim()) };
	}),
	...rows(
		"race_consumed",
		["hostToken"],
		"another server let its machine in while this request waited",
		({ server, twin, database }, way) => {
			const input = way.right(way.claim());
			const ask = async () => {
				const lock = await holding(database.db, `select id from keys where id = '${way.keyId}' for update`);
				const winner = letIn(twin, way.right(way.claim()));
				await lockWaiters(database.db, 1);
				const loser = enroll(server, input);
				await lockWaiters(database.db, 2);
				await lock.release();
				await winner;
				return loser;
			};
			return { input, ask };
		},
	),

	...rows("rate_limited", kinds, "a right key was refused four times within a minute", async (stage, way, source) => {
		const refused = await forTakenId(stage, way);
		for (let times = 0; times < 4; times++) await enroll(stage.server, refused(), source);
		return { input: way.right(way.claim()) };
	}),
	...rows("locked_out", kinds, "three wrong secrets came from there", async ({ server }, way, source) => {
		for (let times = 0; times < 3; times++) await enroll(server, way.wrong(way.claim()), source);
		return { input: way.right(way.claim()) };
	}),

	...rows("mesh_mint_failed", ["hostToken"], "the server's mesh is down", ({ meshed }, way) => ({
		server: meshed,
		input: way.right(way.claim()),
	})),

	...rows("not_configured", ["hostToken"], "the server has no shared secret", ({ bare }, way) => ({
		server: bare,
		input: way.right(way.claim()),
	})),

	...rows("overloaded", ["siteKey"], "258 other first sights wait for Argon2id", (stage, way) => {
		const input = way.right(way.claim());
		return { input, ask: () => saturateArgon2(stage, way.id, () => enroll(stage.server, input)) };
	}),
	...rows("overloaded", ["autoEnrollment"], "the shared API key is revoked at this moment", async ({ server, database }, way) => {
		await letIn(server, way.right(way.claim()));
		const [shared] = await database.db.sql`select credential_id as id from auto_enrollment`;
		const input = way.right(way.claim());
		const ask = async () => {
			const lock = await holding(database.db, `select id from keys where id = '${way.keyId}' for update`);
			const reply = enroll(server, input);
			await lockWaiters(database.db, 1);
			await asAdmin(server, "mutation ($id: ID!) { revokeApiKey(id: $id) { apiKey { id } } }", { id: shared?.["id"] });
			await lock.release();
			return reply;
		};
		return { input, ask };
	}),
	...rows(
		"overloaded",
		kinds,
		"the database is away",
		({ twin, wire }, way) => {
			const input = way.right(way.claim());
			const ask = async () => {
				await wire.cut();
				try {
					return await enroll(twin, input);
				} finally {
					await wire.mend();
				}
			};
			return { server: twin, input, ask };
		},
		{ recorded: "nowhere" },
	),
];

const noMesh = "only a host token lets a machine onto the mesh";
const oneText = "a former, unknown or wrong secret is bad_secret: there is no state to tell before the proof";
const oneUse = "a host token has one use by its nature, which is told as already_consumed or race_consumed";
const onlyHosts = "only a host token is used up by a single machine";

/** Reasons that a kind of key never meets, and why. */
export const doesNotApply: Record<Kind, Partial<Record<Refusal, string>>> = {
	siteKey: {
		mesh_mint_failed: noMesh,
		bad_secret: "no second secret comes with it",
		clock_skew: "it holds no timestamp",
		exhausted: "it has no limit of uses",
		already_consumed: onlyHosts,
		race_consumed: onlyHosts,
		not_configured: "it needs nothing of the server's configuration",
	},
	enrollmentKey: {
		mesh_mint_failed: noMesh,
		bad_secret: "no second secret comes with it",
		clock_skew: "it holds no timestamp",
		already_consumed: onlyHosts,
		race_consumed: onlyHosts,
		not_configured: "it needs nothing of the server's configuration",
	},
	hostToken: { clock_skew: "it holds no timestamp", exhausted: oneUse },
	autoEnrollment: {
		mesh_mint_failed: noMesh,
		invalid_token: "it is no token: what is wrong is told as bad_secret",
		expired: oneText,
		revoked: oneText,
		exhausted: "it has no limit of uses",
		already_consumed: onlyHosts,
		race_consumed: onlyHosts,
		not_configured: "without a secret it is off, which is told as enrollment_disabled",
	},
};
