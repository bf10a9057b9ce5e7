import { describe, expect, test } from "bun:test";
import { parseEndpoint } from "../../../worker/address.ts";
import { exitCodeTable, helpText, parseCommandLine } from "../../../worker/cli.ts";
import { flagOf, settingNames, settings } from "../../../worker/settings.ts";
import { suggest } from "../../../worker/suggest.ts";
import { parse } from "./parse.ts";

describe("where a value comes from", () => {
	const env = { MUSTER_WORKER_NAME: "variable" };

	test("H2: a flag beats a variable, and a variable beats nothing", () => {
		expect(parse(["--worker-name", "flag"], env).config.name).toBe("flag");
		expect(parse(["--worker-name=flag"], env).config.name).toBe("flag");
		expect(parse([], env).config.name).toBe("variable");
		expect(parse([]).config.name).toBeUndefined();
	});

	test("H2: the _FILE twin gives the file's content without its last line feed; a flag beats it too", () => {
		const twin = { MUSTER_WORKER_NAME_FILE: "/name" };
		const files = { "/name": " from file \n", "/other": "other\r\n" };

		expect(parse([], twin, files).config.name).toBe(" from file ");
		expect(parse(["--worker-name", "flag"], twin, files).config.name).toBe("flag");
		expect(parse(["--worker-name-file", "/other"], twin, files).config.name).toBe("other");
	});

	test("H2: a variable and its twin together are an error that names both", () => {
		const { problems } = parse([], { ...env, MUSTER_WORKER_NAME_FILE: "/name" }, { "/name": "x" });

		expect(problems).toEqual([expect.stringMatching(/MUSTER_WORKER_NAME and MUSTER_WORKER_NAME_FILE together/)]);
	});

	test("H2: a flag and its twin together are an error that names both", () => {
		const { problems } = parse(["--url", "http://a", "--url-file", "/url"], {}, { "/url": "http://b" });

		expect(problems).toEqual([expect.stringMatching(/--url and --url-file together/)]);
	});

	test.each([
		["missing", {}],
		["empty", { "/key": "\n" }],
	])("H2: a twin whose file is %s is an error that names variable and path", (_, files) => {
		const { problems } = parse([], { MUSTER_ENROLL_TOKEN_FILE: "/key" }, files);

		expect(problems).toEqual([expect.stringMatching(/MUSTER_ENROLL_TOKEN_FILE "\/key"/)]);
	});

	test("an empty variable counts as not set", () => {
		expect(parse([], { MUSTER_URL: "", MUSTER_LABELS: "", MUSTER_AUTO_ENROLLMENT_KEY: "" }).problems).toEqual([]);
	});

	test("H2: every setting but the path of the machine id has its twin, as variable and as flag", () => {
		for (const name of settingNames) {
			const { variable, twin } = settings[name];
			const { problems } = parse([`${flagOf(variable)}-file`, "/f"], {}, { "/f": "x" });
			expect([name, problems.some((problem) => problem.startsWith("Unknown flag"))]).toEqual([name, !twin]);
		}
	});
});

describe("slips of the pen", () => {
	test.each([
		[["--ulr", "http://a"], {}, "did you mean --url?"],
		[["--enrol-token", "x"], {}, "did you mean --enroll-token?"],
		[["--nonsense", "x"], {}, "see muster-worker --help"],
		[["enrol"], {}, "did you mean enroll?"],
		[["launch"], {}, "the commands are run, enroll"],
		[["run", "enroll"], {}, 'Unexpected argument "enroll"'],
		[["--url"], {}, "without a value"],
		[["--url", "--tenant", "x"], {}, "--url without a value"],
		[["--url", "http://a", "--url", "http://b"], {}, "twice"],
		[["--timeout", "5"], {}, 'it belongs to "enroll"'],
		[["enroll", "--timeout", "soon"], {}, "give seconds between 1 and 86400"],
		[["status", "--format", "xml"], {}, "it is text or json"],
		[[], { MUSTER_ENROL_TOKEN: "x" }, "did you mean MUSTER_ENROLL_TOKEN?"],
		[[], { MUSTER_WORKER_COLOUR: "x" }, "Unknown variable MUSTER_WORKER_COLOUR"],
		[[], { MUSTER_LOG_LEVEL: "loud" }, "it is debug, info, warn or error"],
	])("A16: %j with %j is told with a remedy", (args, env, why) => {
		expect(parse(args, env).problems).toEqual([expect.stringContaining(why)]);
	});

	test("A16: the server's variables in the same environment are none of the worker's business", () => {
		const env = {
			MUSTER_DATA_DIR: "/data",
			MUSTER_LISTEN: "0.0.0.0:7480",
			MUSTER_JWT_SECRET_FILE: "/jwt",
			MUSTER_METRICS_PORT: "off",
			PATH: "/bin",
		};

		expect(parse([], env).problems).toEqual([]);
	});

	test("a suggestion is near, or not made", () => {
		expect(suggest("--lables", ["--labels", "--url"])).toBe("--labels");
		expect(suggest("--zzzzzz", ["--labels", "--url"])).toBeUndefined();
	});
});

describe("values", () => {
	test.each([
		["http://10.0.0.5:7480", "http://10.0.0.5:7480/graphql", "ws://10.0.0.5:7480/graphql"],
		["https://muster.example/", "https://muster.example/graphql", "wss://muster.example/graphql"],
		["https://example.com/muster", "https://example.com/muster/graphql", "wss://example.com/muster/graphql"],
		["wss://example.com/graphql", "https://example.com/graphql", "wss://example.com/graphql"],
		["100.64.0.1:7480", "http://100.64.0.1:7480/graphql", "ws://100.64.0.1:7480/graphql"],
		["[fd7a::1]:7480", "http://[fd7a::1]:7480/graphql", "ws://[fd7a::1]:7480/graphql"],
		["muster", "http://muster/graphql", "ws://muster/graphql"],
	])("H5: the address %s is reached at %s and %s", (text, http, ws) => {
		expect(parseEndpoint(text)).toEqual({ http, ws });
	});

	test.each(["", "ftp://a", "http://", "http://user:pw@a", "http://a?x=1", "http://a#b", "a b", "http://a:99999"])(
		"H5: %j is no address",
		(text) => {
			expect(parseEndpoint(text)).toBeUndefined();
		},
	);

	test("labels are read in order; a form error and a repeat are told", () => {
		expect(parse([], { MUSTER_LABELS: "a=1, b = x=y ,c=" }).config.labels).toEqual([
			{ key: "a", value: "1" },
			{ key: "b", value: "x=y" },
			{ key: "c", value: "" },
		]);
		expect(parse([], { MUSTER_LABELS: "a,b=1,b=2" }).problems).toHaveLength(2);
	});

	test("A6 A16: a name or tenant with a control character is told: no proof could be made over it", () => {
		expect(parse([], { MUSTER_WORKER_NAME: "a\nb" }).problems).toEqual([expect.stringContaining('MUSTER_WORKER_NAME "a\\nb"')]);
		expect(parse([], { MUSTER_AUTO_ENROLLMENT_KEY: "x".repeat(32), MUSTER_TENANT: "a\u0000" }).problems).toEqual([
			expect.stringContaining("MUSTER_TENANT"),
		]);
	});

	test("MUSTER_NODE_NAME is the same as MUSTER_WORKER_NAME; two different names are an error", () => {
		expect(parse([], { MUSTER_NODE_NAME: "n" }).config.name).toBe("n");
		expect(parse(["--node-name", "n"]).config.name).toBe("n");
		expect(parse([], { MUSTER_NODE_NAME: "n", MUSTER_WORKER_NAME: "m" }).problems).toHaveLength(1);
	});
});

test("A16: --help shows every flag, every variable and every exit code", () => {
	const text = helpText("1.2.3");

	for (const name of settingNames) expect(text).toContain(settings[name].variable);
	for (const name of settingNames) expect(text).toContain(flagOf(settings[name].variable));
	for (const [code, meaning] of exitCodeTable) expect(text).toMatch(new RegExp(`^ +${code} +${meaning.replace(/[()]/g, "\\$&")}$`, "m"));
	expect(parseCommandLine(["enroll", "--nonsense", "-h"]).command.kind).toBe("help");
});
