import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { enrollMutation, type GraphQLReply, graphql } from "../support/muster.ts";
import { enrollInput, hex, rowCount } from "../support/pipeline.ts";
import { enroll, newSite, newSource, onEachRuntime } from "./support.ts";

const nasty = fc.constantFrom("\u0000", "\ud800", "\udfff", "\u{1f600}", "\n", "'", '"', "\\", "%", "\ufeff", "\u202e", "é", "a", "0", "-");
const wild = fc.oneof(
	fc.string({ unit: "binary", maxLength: 300 }),
	fc.array(nasty, { maxLength: 40 }).map((letters) => letters.join("")),
	// The 253rd character is the first half of a pair: cut there, it is no character any more.
	fc.integer({ min: 245, max: 260 }).map((length) => `${"a".repeat(length)}\u{1f600}`),
	fc.constantFrom("", " ", "null", "a".repeat(100_000), "wrk_x", "key_x", "__proto__", "constructor", "../../etc/passwd"),
);
const wrong = fc.oneof(
	fc.constantFrom(null, true, [], {}, [[]], { toString: null }),
	fc.integer(),
	fc.double().map((number) => (Number.isFinite(number) ? number : 1e308)),
	fc.array(wild, { maxLength: 3 }),
);

type Input = ReturnType<typeof enrollInput>;
type Site = { readonly siteCode: string; readonly key: string };

/** A good input with some of its parts made wild; `values` says how wild. */
function spoiled(site: Site, values: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
	const maybe = fc.option(values, { nil: undefined, freq: 2 });
	const credential = fc.oneof(
		fc.record({ siteKey: fc.record({ siteCode: values, key: values, tenant: values }) }),
		fc.record({ siteKey: fc.record({ siteCode: fc.constant(site.siteCode), key: values }) }),
		fc.record({ enrollmentKey: values }),
		fc.record({ hostToken: fc.record({ token: values, sharedSecret: values }) }),
		fc.record({ siteKey: values, enrollmentKey: values }),
		values,
	);
	return fc
		.record({
			enrollmentId: maybe,
			credential: fc.option(credential, { nil: undefined }),
			replyKey: maybe,
			name: maybe,
			hostname: maybe,
			machineUid: maybe,
			requestedId: maybe,
			platform: maybe,
			version: maybe,
			labels: fc.option(fc.oneof(values, fc.array(fc.record({ key: values, value: values }), { maxLength: 3 })), { nil: undefined }),
		})
		.map((parts) => {
			const {
				enrollmentId,
				credential: way,
				replyKey,
				...facts
			} = Object.fromEntries(Object.entries(parts).filter(([, value]) => value !== undefined));
			const good: Input = enrollInput(site);
			return {
				...good,
				...(enrollmentId === undefined ? {} : { enrollmentId }),
				...(way === undefined ? {} : { credential: way }),
				...(replyKey === undefined ? {} : { replyKey }),
				worker: { ...good.worker, ...facts },
			};
		});
}

/** What a reply must never be: a fault, or an error that says nothing. A refusal that the table gives a 5xx is no fault. */
function faultIn({ status, data, errors }: GraphQLReply): string | undefined {
	const reason = data?.enroll?.reason;
	if (status >= 500 && reason !== "not_configured") return `${status} ${reason ?? ""}`;
	const fault = errors.find(
		({ message, extensions }) => message === "Unexpected error" || extensions?.["code"] === "INTERNAL_SERVER_ERROR",
	);
	return fault?.message;
}

onEachRuntime("enroll under fuzz", (bench) => {
	async function survives(values: fc.Arbitrary<unknown>, runs: number): Promise<void> {
		const site = await newSite(bench.server);
		await fc.assert(
			fc.asyncProperty(fc.array(spoiled(site, values), { minLength: 1, maxLength: 20 }), async (inputs) => {
				const good = [enrollInput(site), enrollInput(site)];
				const [first, second] = good;
				const replies = await Promise.all([
					enroll(bench.server, first),
					...inputs.map((input) => enroll(bench.server, input)),
					enroll(bench.server, second),
				]);
				expect(replies.map(faultIn).filter((fault) => fault !== undefined)).toEqual([]);
				expect([replies.at(0)?.status, replies.at(-1)?.status]).toEqual([200, 200]);
			}),
			{ numRuns: runs },
		);
		expect((await fetch(`${bench.server.url}/health/live`)).status).toBe(200);
	}

	test("texts with NUL, halves of pairs, control characters and 100,000 letters are refused or let in, never a fault, and good ones beside them succeed", async () => {
		await survives(wild, 60);
	});

	test("values of wrong types are refused, never a fault, and good ones beside them succeed", async () => {
		await survives(fc.oneof(wild, wrong), 60);
	});

	test("input that is no enroll input at all is refused with 400", async () => {
		await fc.assert(
			fc.asyncProperty(fc.jsonValue(), async (input) => {
				const reply = await enroll(bench.server, input);
				expect([reply.status, faultIn(reply)]).toEqual([400, undefined]);
			}),
			{ numRuns: 60 },
		);
	});

	test("bodies that are no GraphQL request are refused with 4xx and the server lives", async () => {
		const body = fc.oneof(
			fc.uint8Array({ maxLength: 2_000 }).map((bytes) => Uint8Array.from(bytes)),
			fc.json(),
			fc.constantFrom('{"query":', '{"query":1}', '{"query":"{"}', "[]", '{"query":"{__typename}","variables":3}', "[".repeat(50_000)),
		);
		const type = fc.constantFrom("application/json", "text/plain", "application/graphql", "multipart/form-data; boundary=x", "");
		await fc.assert(
			fc.asyncProperty(body, type, async (bytes, contentType) => {
				const headers = { "x-forwarded-for": newSource(), ...(contentType === "" ? {} : { "content-type": contentType }) };
				const response = await fetch(`${bench.server.url}/graphql`, { method: "POST", headers, body: bytes });
				const text = await response.text();
				expect([response.status < 500, text.includes("Unexpected error")]).toEqual([true, false]);
			}),
			{ numRuns: 200 },
		);
		expect((await fetch(`${bench.server.url}/health/live`)).status).toBe(200);
	});

	describe("texts that PostgreSQL or JSON cannot hold", () => {
		test.each([
			["half a surrogate pair", "a\ud800b"],
			["the other half", "a\udc00b"],
			["NUL", "a\u0000b"],
		])("%s in the name is bad_request and leaves a readable attempt (H8)", async (_, name) => {
			const input = enrollInput({ ...(await newSite(bench.server)), name });
			const reply = await enroll(bench.server, input);
			expect([reply.status, reply.data?.enroll?.reason]).toEqual([400, "bad_request"]);
			expect(await rowCount(bench.database.db, "attempts", `machine_uid = '${input.worker.machineUid}' and claimed_name like 'a_b'`)).toBe(
				1,
			);
		});

		test("a long name that would be cut within a pair is bad_request, not a fault", async () => {
			const name = `${"a".repeat(252)}\u{1f600}${hex(8)}`;
			const reply = await enroll(bench.server, enrollInput({ ...(await newSite(bench.server)), name }));
			expect([reply.status, reply.data?.enroll?.reason]).toEqual([400, "bad_request"]);
		});

		test("half a pair written into the document itself is refused, not a fault", async () => {
			const site = await newSite(bench.server);
			const reply = await graphql(bench.server, `${enrollMutation} # \ud800`, { input: enrollInput(site) });
			expect(faultIn(reply)).toBeUndefined();
		});
	});
});
