import { describe, expect, test } from "bun:test";
import { inspect } from "node:util";
import { systemRandom } from "../../../src/lib/random.ts";
import { mintToken, type TokenKind } from "../../../src/protocol/token.ts";
import { missingForEnrollment } from "../../../worker/config.ts";
import { parse } from "./parse.ts";

const mint = (kind: TokenKind) => mintToken(kind, systemRandom.bytes(38)).text;
const sharedSecret = "a shared secret of more than 32 characters";
const secret = "auto-enroll-secret-of-32-letters";

describe("strategies", () => {
	test("S3: a site key needs its site's code; a tenant may be given", () => {
		const key = mint("site");

		expect(parse([], { MUSTER_ENROLL_TOKEN: key }).problems).toEqual([expect.stringContaining("MUSTER_SITE_CODE is not set")]);
		expect(parse([], { MUSTER_ENROLL_TOKEN: key, MUSTER_SITE_CODE: "n", MUSTER_TENANT: "t" }).config.enrollKey).toMatchObject({
			kind: "site",
			siteCode: "n",
			tenant: "t",
		});
	});

	test("H4: a host token needs the shared secret", () => {
		const token = mint("host");

		expect(parse([], { MUSTER_ENROLL_TOKEN: token }).problems).toEqual([expect.stringContaining("MUSTER_SHARED_SECRET is not set")]);
		expect(parse([], { MUSTER_ENROLL_TOKEN: token, MUSTER_SHARED_SECRET: sharedSecret }).config.enrollKey?.kind).toBe("host");
	});

	test.each([
		["MUSTER_ENROLL_TOKEN", "MUSTER_AUTO_ENROLLMENT_KEY"],
		["MUSTER_ENROLL_TOKEN", "MUSTER_WORKER_API_KEY"],
		["MUSTER_AUTO_ENROLLMENT_KEY", "MUSTER_WORKER_API_KEY"],
		["MUSTER_AUTO_ENROLLMENT_KEY", "MUSTER_SITE_CODE"],
	] as const)("A13: %s with %s is one error that names the two variables and shows neither value", (one, other) => {
		const values: Record<string, string> = {
			MUSTER_ENROLL_TOKEN: mint("enroll"),
			MUSTER_AUTO_ENROLLMENT_KEY: secret,
			MUSTER_WORKER_API_KEY: "the admin's own key",
			MUSTER_SITE_CODE: "north-code",
		};
		const [first, second] = [values[one] ?? "", values[other] ?? ""];
		const id = other === "MUSTER_WORKER_API_KEY" ? { MUSTER_WORKER_ID: "w", MUSTER_URL: "http://a" } : {};
		const { problems } = parse([], { [one]: first, [other]: second, ...id });

		expect(problems).toEqual([expect.stringContaining(`${one} together with ${other}`)]);
		expect(problems.join()).not.toContain(first);
		expect(problems.join()).not.toContain(second);
	});

	test("A13: the conflict is seen wherever the two values come from", () => {
		const files = { "/secret": secret };
		const args = ["--auto-enrollment-key-file", "/secret", "--enroll-token", mint("enroll")];

		expect(parse(args, {}, files).problems).toEqual([
			expect.stringContaining("MUSTER_ENROLL_TOKEN together with MUSTER_AUTO_ENROLLMENT_KEY"),
		]);
	});

	test("A13: all three ways at once are told as three conflicts, beside every other problem", () => {
		const env = {
			MUSTER_ENROLL_TOKEN: mint("enroll"),
			MUSTER_AUTO_ENROLLMENT_KEY: "short",
			MUSTER_WORKER_API_KEY: "k",
			MUSTER_LABELS: "x",
		};

		expect(parse([], env).problems).toEqual([
			expect.stringMatching(/MUSTER_ENROLL_TOKEN together with MUSTER_AUTO_ENROLLMENT_KEY/),
			expect.stringMatching(/MUSTER_ENROLL_TOKEN together with MUSTER_WORKER_API_KEY/),
			expect.stringMatching(/MUSTER_AUTO_ENROLLMENT_KEY together with MUSTER_WORKER_API_KEY/),
			expect.stringMatching(/MUSTER_AUTO_ENROLLMENT_KEY: it has 5 characters/),
			expect.stringMatching(/MUSTER_WORKER_ID is not set/),
			expect.stringMatching(/MUSTER_LABELS/),
		]);
	});

	test("A13: the server's MUSTER_SHARED_SECRET in the same environment is no conflict; nor is a site code beside a key that needs none", () => {
		expect(parse([], { MUSTER_AUTO_ENROLLMENT_KEY: secret, MUSTER_SHARED_SECRET: sharedSecret }).problems).toEqual([]);
		expect(parse([], { MUSTER_ENROLL_TOKEN: mint("enroll"), MUSTER_SITE_CODE: "north" }).problems).toEqual([]);
	});
});

describe("auto-enrollment", () => {
	test("A6: a secret of 32 characters is enough, for the tenant default unless another is given", () => {
		expect(parse([], { MUSTER_AUTO_ENROLLMENT_KEY: secret }).config.enrollKey).toMatchObject({ kind: "auto", tenant: "default" });
		expect(parse([], { MUSTER_AUTO_ENROLLMENT_KEY: secret, MUSTER_TENANT: "acme" }).config.enrollKey).toMatchObject({ tenant: "acme" });
		const { config } = parse(["--auto-enrollment-key-file", "/s"], {}, { "/s": `${secret}\n` });
		expect(config.enrollKey?.kind === "auto" && config.enrollKey.secret.reveal()).toBe(secret);
	});

	test.each([
		["one of 31 characters", secret.slice(1), "it has 31 characters, a secret has 32 or more"],
		["an enrollment key", mint("enroll"), "give that as MUSTER_ENROLL_TOKEN"],
		["a worker's API key", mint("worker"), "give that as MUSTER_WORKER_API_KEY with MUSTER_WORKER_ID"],
	])("A6 A16: %s in place of the secret is told without showing it", (_, text, why) => {
		const { problems } = parse([], { MUSTER_AUTO_ENROLLMENT_KEY: text });

		expect(problems).toEqual([expect.stringContaining(why)]);
		expect(problems.join()).not.toContain(text);
	});
});

describe("MUSTER_WORKER_ID", () => {
	test.each([
		["MUSTER_ENROLL_TOKEN", mint("enroll")],
		["MUSTER_AUTO_ENROLLMENT_KEY", secret],
	])("A7: with %s it is the id to ask for", (variable, value) => {
		const { config, problems } = parse([], { [variable]: value, MUSTER_WORKER_ID: "edge-7" });

		expect([problems, config.requestedId, config.apiKey]).toEqual([[], "edge-7", undefined]);
	});

	test.each(["", "-a", "a b", "a/b", "ü", "x".repeat(64), "a\n"])("A7: %j is no id that can be asked for", (id) => {
		const { problems } = parse([], { MUSTER_AUTO_ENROLLMENT_KEY: secret, MUSTER_WORKER_ID: id });

		expect(problems).toEqual(id === "" ? [] : [expect.stringContaining("MUSTER_WORKER_ID")]);
	});

	test("A12: alone it is an error that names the missing key", () => {
		const { config, problems } = parse([], { MUSTER_WORKER_ID: "edge-7", MUSTER_URL: "http://a" });

		expect(problems).toEqual([]);
		expect(missingForEnrollment(config)).toEqual([expect.stringContaining("MUSTER_WORKER_ID alone: MUSTER_WORKER_API_KEY is not set")]);
	});
});

describe("the API-key strategy", () => {
	test("A12: MUSTER_WORKER_API_KEY without MUSTER_WORKER_ID is an error that names both", () => {
		expect(parse([], { MUSTER_WORKER_API_KEY: "x", MUSTER_URL: "http://a" }).problems).toEqual([
			expect.stringMatching(/MUSTER_WORKER_API_KEY alone: MUSTER_WORKER_ID is not set/),
		]);
	});

	test("A12: an API key needs an address, and no name", () => {
		const env = { MUSTER_WORKER_ID: "w", MUSTER_WORKER_API_KEY: mint("worker") };

		expect(parse([], env).problems).toEqual([expect.stringContaining("neither MUSTER_SERVER_ADDR nor MUSTER_URL")]);
		expect(parse([], { ...env, MUSTER_SERVER_ADDR: "server:7480" }).problems).toEqual([]);
	});

	test("A12: the key may be the admin's own text", () => {
		const env = { MUSTER_WORKER_ID: "w", MUSTER_WORKER_API_KEY: "an admin's own key, with blanks: ~", MUSTER_URL: "http://a" };

		expect(parse([], env).problems).toEqual([]);
		expect(parse([], env).config.apiKey?.key.reveal()).toBe(env.MUSTER_WORKER_API_KEY);
	});

	test.each([
		["a line feed", "key\r\nX-Evil: 1"],
		["a control character", "key\u0007"],
		["an outer blank", " my-own-text"],
		["a character beyond ASCII", "Schl\u00fcssel"],
	])("A12: a key with %s, which no header carries unharmed, is told without showing it", (_, key) => {
		const { problems } = parse([], { MUSTER_WORKER_ID: "w", MUSTER_WORKER_API_KEY: key, MUSTER_URL: "http://a" });

		expect(problems).toEqual([expect.stringContaining("Cannot use MUSTER_WORKER_API_KEY: no HTTP header can carry it")]);
		expect(problems.join()).not.toContain(key);
		expect(parse([], { MUSTER_WORKER_ID: key, MUSTER_WORKER_API_KEY: "k", MUSTER_URL: "http://a" }).problems).toEqual([
			expect.stringContaining("Cannot use MUSTER_WORKER_ID"),
		]);
	});
});

describe("MUSTER_ENROLL_TOKEN", () => {
	test.each([
		["a mistyped key", mint("enroll").replace(/.$/, (last) => (last === "0" ? "1" : "0")), "it is no whole enroll key"],
		["another text", "hunter2", "does not begin with"],
		["a worker's API key", mint("worker"), "give it as MUSTER_WORKER_API_KEY"],
	])("A16: %s in MUSTER_ENROLL_TOKEN is told without showing it", (_, token, why) => {
		const { problems } = parse([], { MUSTER_ENROLL_TOKEN: token });

		expect(problems).toEqual([expect.stringContaining(why)]);
		expect(problems.join()).not.toContain(token);
	});

	test("no secret shows when a configuration is printed", () => {
		const token = mint("host");
		const configs = [
			parse([], { MUSTER_ENROLL_TOKEN: token, MUSTER_SHARED_SECRET: sharedSecret }).config,
			parse([], { MUSTER_AUTO_ENROLLMENT_KEY: secret }).config,
		];

		expect(`${inspect(configs, { depth: 9 })}${JSON.stringify(configs)}`).not.toMatch(new RegExp(`${token}|${sharedSecret}|${secret}`));
	});
});

test("A16: what is missing for an enrollment is named variable by variable, with every other way in", () => {
	const lines = missingForEnrollment(parse([]).config);

	expect(lines).toEqual([
		expect.stringContaining("MUSTER_URL is not set"),
		expect.stringMatching(/MUSTER_ENROLL_TOKEN is not set.* MUSTER_AUTO_ENROLLMENT_KEY; or MUSTER_WORKER_ID and MUSTER_WORKER_API_KEY/),
		expect.stringContaining("MUSTER_WORKER_NAME is not set"),
	]);
	const enough = { MUSTER_URL: "http://a", MUSTER_AUTO_ENROLLMENT_KEY: secret, MUSTER_WORKER_NAME: "edge-1" };
	expect(missingForEnrollment(parse([], enough).config)).toEqual([]);
});
