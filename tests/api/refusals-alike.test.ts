import { describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { fingerprint, mintToken, parseToken, type TokenKind } from "../../src/protocol/token.ts";
import { asAdmin, type GraphQLReply } from "../support/muster.ts";
import { hex } from "../support/pipeline.ts";
import {
	configureAuto,
	type Input,
	type Kind,
	openWay,
	sharedSecret,
	stageEnv,
	unknownToken,
	type Way,
	withOtherSecret,
} from "./refusals-ways.ts";
import { enroll, onEachRuntime, rotate } from "./support.ts";

const prefixes = { siteKey: "site", enrollmentKey: "enroll", hostToken: "host" } as const satisfies Partial<Record<Kind, TokenKind>>;
type TokenWay = keyof typeof prefixes;
const tokenKinds = Object.keys(prefixes) as TokenWay[];

/** All that a guesser can tell replies apart by, but for the time they took. */
function appearance({ status, headers, data, errors }: GraphQLReply): object {
	const { serverTime, ...told } = data.enroll;
	// Headers give their entries sorted by name.
	const seen = [...headers].filter(([name]) => name !== "date" && name !== "x-request-id");
	return { status, headers: seen, told, timeForm: String(serverTime).replaceAll(/\d/g, "0"), errors };
}

/** A token with this one's selector and public fingerprint, and another secret: what Argon2id or SHA-256 alone tells from the right one. */
function lookalike(text: string): string {
	const token = parseToken(text);
	if (token === undefined) throw new Error("This is no token");
	const wanted = fingerprint(token.secret);
	for (;;) {
		const entropy = Buffer.concat([Buffer.from(token.selector, "hex"), randomBytes(32)]);
		if (fingerprint(entropy.subarray(6).toString("hex")) === wanted) return mintToken(token.kind, entropy).text;
	}
}

onEachRuntime(
	"what a refusal gives away",
	(bench) => {
		const ask = (input: Input) => enroll(bench.server, input);
		const reasonOf = async (input: Input) => (await ask(input)).data.enroll.reason;

		describe.each(tokenKinds)("of a %s", (kind) => {
			test("unknown, malformed, mistyped, foreign and wrong keys look the same: what exists cannot be guessed (B3, S10)", async () => {
				const [way, other] = [await openWay(bench, kind), await openWay(bench, kind)];
				const typo = way.token.slice(0, -1) + (way.token.endsWith("0") ? "1" : "0");
				const guesses = {
					unknown: unknownToken(prefixes[kind]),
					empty: "",
					malformed: `mst_${prefixes[kind]}_oops`,
					mistyped: typo,
					"of another kind": unknownToken(kind === "siteKey" ? "enroll" : "site"),
					"a worker's": unknownToken("worker"),
					"wrong secret": withOtherSecret(way.token),
					"wrong secret, right fingerprint": lookalike(way.token),
					"right selector as another kind": asKind(way.token, kind === "hostToken" ? "enroll" : "host"),
					...(kind === "siteKey" ? { "of another site": other.token } : {}),
				};
				const seen = new Map<string, object>();
				for (const [what, token] of Object.entries(guesses)) seen.set(what, appearance(await ask(way.withToken(way.claim(), token))));
				const told = seen.get("unknown");
				expect(told).toMatchObject({ status: 401, told: { __typename: "EnrollmentRejected", reason: "invalid_token" } });
				expect([...seen].filter(([, appears]) => !Bun.deepEquals(appears, told))).toEqual([]);
			});
		});

		describe("the state of a key is told only to who has it; to others it is a key like none (B3)", () => {
			const ends: readonly (readonly [string, TokenWay, (way: Way) => Promise<unknown>])[] = [
				["revoked", "siteKey", (way) => rotate(bench.server, way.id)],
				["expired", "siteKey", (way) => rotate(bench.server, way.id, 3_600).then(() => move(way, "grace_ends_at"))],
				[
					"revoked",
					"enrollmentKey",
					(way) => asAdmin(bench.server, "mutation ($id: ID!) { revokeEnrollmentKey(id: $id) { key { id } } }", { id: way.id }),
				],
				["expired", "enrollmentKey", (way) => move(way, "expires_at")],
				["exhausted", "enrollmentKey", (way) => ask(way.right(way.claim()))],
				[
					"revoked",
					"hostToken",
					(way) => asAdmin(bench.server, "mutation ($id: ID!) { regenerateHostToken(id: $id) { secret } }", { id: way.id }),
				],
				["expired", "hostToken", (way) => move(way, "expires_at")],
				["already_consumed", "hostToken", (way) => ask(way.right(way.claim()))],
			];
			const move = ({ keyId }: Way, column: "expires_at" | "grace_ends_at") =>
				bench.database.db.sql.unsafe(`update keys set ${column} = now() - interval '1 second' where id = $1`, [keyId]);

			test.each(ends)("%s, of a %s", async (reason, kind, end) => {
				const way = await openWay(bench, kind, { maxUses: 1 });
				await end(way);
				const unknown = appearance(await ask(way.withToken(way.claim(), unknownToken(prefixes[kind]))));
				// Before anybody has proven it to this server, and after.
				expect(appearance(await ask(way.wrong(way.claim())))).toEqual(unknown);
				expect(await reasonOf(way.right(way.claim()))).toBe(reason);
				expect(appearance(await ask(way.wrong(way.claim())))).toEqual(unknown);
			});
		});

		test("a wrong shared secret is all that is told: nothing of the token that came with it (H4)", async () => {
			const way = await openWay(bench, "hostToken");
			const used = await openWay(bench, "hostToken");
			await ask(used.right(used.claim()));
			const tokens = [way.token, used.token, unknownToken("host"), "mst_host_oops", ""];
			const replies: object[] = [];
			for (const token of tokens)
				replies.push(appearance(await ask({ ...way.claim(), credential: { hostToken: { token, sharedSecret: hex(20) } } })));
			expect(replies[0]).toMatchObject({ status: 401, told: { reason: "bad_secret" } });
			expect(replies).toEqual(tokens.map(() => replies[0] ?? {}));
			const near = [sharedSecret.slice(0, -1), `${sharedSecret} `, sharedSecret.toUpperCase(), ""];
			for (const guess of near) {
				const input = { ...way.claim(), credential: { hostToken: { token: way.token, sharedSecret: guess } } };
				expect(appearance(await ask(input))).toEqual(replies[0] ?? {});
			}
		});

		test("a tenant that has auto-enrollment off looks like one that does not exist, whoever asks (A6, S10)", async () => {
			const way = await openWay(bench, "autoEnrollment");
			await configureAuto(bench.server, { enabled: false });
			const right = way.right(way.claim());
			const { autoEnrollment } = right.credential as { autoEnrollment: object };
			const elsewhere = { ...way.claim(), credential: { autoEnrollment: { ...autoEnrollment, tenant: "no-such-tenant" } } };
			const off = appearance(await ask(right));
			expect(off).toMatchObject({ status: 400, told: { reason: "enrollment_disabled" } });
			expect(appearance(await ask(way.wrong(way.claim())))).toEqual(off);
			expect(appearance(await ask(elsewhere))).toEqual(off);
		});

		test("clock_skew and replayed are told only to who proved the secret; others hear bad_secret (A6)", async () => {
			const way = await openWay(bench, "autoEnrollment");
			const input = way.right(way.claim());
			expect((await ask(input)).data.enroll.__typename).toBe("Enrolled");
			const forged = appearance(await ask(way.wrong(way.claim())));
			expect(forged).toMatchObject({ status: 401, told: { reason: "bad_secret" } });
			const { autoEnrollment } = input.credential as { autoEnrollment: { mac: string } };
			const broken = { autoEnrollment: { ...autoEnrollment, mac: hex(32) } };
			expect(appearance(await ask({ ...input, credential: broken }))).toEqual(forged);
			const late = { autoEnrollment: { ...autoEnrollment, timestamp: new Date(0).toISOString() } };
			expect(appearance(await ask({ ...way.claim(), credential: late }))).toEqual(forged);
			expect(await reasonOf(input)).toBe("replayed");
			expect(await reasonOf(way.right(way.claim(), { timestamp: new Date(0).toISOString() }))).toBe("clock_skew");
		});
	},
	stageEnv,
);

function asKind(text: string, kind: TokenKind): string {
	const token = parseToken(text);
	if (token === undefined) throw new Error("This is no token");
	return mintToken(kind, Buffer.from(token.selector + token.secret, "hex")).text;
}
