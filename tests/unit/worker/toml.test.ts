import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { settingNames, settings } from "../../../worker/settings.ts";
import { findToml, readToml } from "../../../worker/toml.ts";
import { parse } from "./parse.ts";

const key = "mst_enroll_a7659f35fa8f_d52364996e53eee765f20335f9cc27770d70c051c616ff183ad0a5650c8ddbff4008f591";
const file = (lines: string) => parse([], {}, {}, lines);

describe("what stands in the file", () => {
	test("B7: every setting has a key, in snake case or in kebab case, and its _file twin", () => {
		for (const name of settingNames) {
			const { variable, twin } = settings[name];
			const snake = variable.slice("MUSTER_".length).toLowerCase();
			for (const form of [snake, snake.replaceAll("_", "-")]) {
				expect(readToml("/w.toml", `${form} = "x"`, 0o600)).toMatchObject({ texts: { [variable]: "x" }, problems: [] });
			}
			const { problems } = readToml("/w.toml", `${snake}_file = "/f"`, 0o600);
			expect([name, problems.length === 0]).toEqual([name, twin]);
		}
	});

	test("B7: flags beat variables, which beat _FILE, which beats the file; each key has a twin of its own", () => {
		const toml = 'worker_name = "toml"\nsite_code_file = "/code"';
		const files = { "/name": "twin\n", "/code": "berlin\n" };

		const name = (args: readonly string[], env: Readonly<Record<string, string>>) => parse(args, env, files, toml).config.name;
		expect(name(["--worker-name", "flag"], { MUSTER_WORKER_NAME: "variable" })).toBe("flag");
		expect(name([], { MUSTER_WORKER_NAME: "variable" })).toBe("variable");
		expect(name([], { MUSTER_WORKER_NAME_FILE: "/name" })).toBe("twin");
		expect(name([], {})).toBe("toml");
		expect(parse([], {}, files, toml).found.get("siteCode")?.text).toBe("berlin");
	});

	test("B7: an overridden twin is not even read; one that is read and missing is told with key and file", () => {
		const toml = 'worker_name_file = "/gone"';

		expect(parse(["--worker-name", "flag"], {}, {}, toml).problems).toEqual([]);
		expect(file(toml).problems).toEqual([expect.stringContaining('Cannot read "worker_name_file" in "/worker.toml" "/gone"')]);
	});

	test("B7: labels are a table, whose values may hold commas, numbers and blanks, or a text", () => {
		const table = file('[labels]\nrack = 7\n"zone a" = "x,y = z "\nspare = true\n');

		expect(table.problems).toEqual([]);
		expect(table.config.labels).toEqual([
			{ key: "rack", value: "7" },
			{ key: "zone a", value: "x,y = z " },
			{ key: "spare", value: "true" },
		]);
		expect(file('labels = "a=1,b=2"').config.labels).toHaveLength(2);
		expect(parse([], { MUSTER_LABELS: "c=3" }, {}, "[labels]\na = 1").config.labels).toEqual([{ key: "c", value: "3" }]);
	});

	test.each([
		["9200", 9_200],
		['"9200"', 9_200],
		['"off"', undefined],
	])("B7: metrics_port = %s", (text, port) => {
		expect(file(`metrics_port = ${text}`)).toMatchObject({ problems: [], config: { metricsPort: port } });
	});

	test("B7: an empty text counts as not set, so that a key may be blanked out; so does an empty file", () => {
		expect(file('enroll_token = ""\nurl = ""')).toMatchObject({ problems: [], config: { enrollKey: undefined, url: undefined } });
		expect(file("")).toMatchObject({ problems: [], file: "/worker.toml" });
	});

	test("B7: a byte order mark, as editors on Windows leave it, does no harm", () => {
		expect(file('\uFEFFworker_name = "a"\r\n').config.name).toBe("a");
	});
});

describe("what is wrong with the file", () => {
	test.each([
		["enrol_token = 1", 'Unknown key "enrol_token" in "/worker.toml": did you mean enroll_token?'],
		['MUSTER_URL = "x"', "did you mean url?"],
		["colour = 1", "its keys are the flags of muster-worker --help without dashes"],
		["[worker]", 'Unknown key "worker"'],
		["site_code = 17", 'Cannot use "site_code" in "/worker.toml": it is a number, give a text in quotes'],
		["url = true", "it is true or false"],
		['url = ["a"]', "it is a list"],
		["url = 2026-01-01", "it is a date"],
		["[url]", "it is a table"],
		["metrics_port = false", 'give a port, or "off" in quotes'],
		["metrics_port = 0", '(MUSTER_METRICS_PORT is "metrics_port" in "/worker.toml")'],
		["metrics_port = 91.5", "give a port from 1 to 65535, or off"],
		["labels = 7", "give a table [labels] or a text"],
		["[labels]\nrack = [1]", 'label "rack" in "/worker.toml": it is a list'],
		['worker-name = "a"\nworker_name = "b"', '"worker_name" in "/worker.toml" twice'],
		['url = "http://a"\nurl_file = "/f"', '"url" in "/worker.toml" and "url_file" in "/worker.toml" together'],
		['log_level = "loud"', '(MUSTER_LOG_LEVEL is "log_level" in "/worker.toml")'],
		["worker_name = edge-1", '"/worker.toml": line 1, column 15'],
		['url = "http://a"\nurl = "http://b"', "line 2"],
		["__proto__ = 1", 'Unknown key "__proto__"'],
	])("B7: %j is told with a remedy, and nothing else is", (toml, why) => {
		expect(file(toml).problems).toEqual([expect.stringContaining(why)]);
	});

	test("B7: every problem is told at once, the file's first", () => {
		const { problems } = parse([], { MUSTER_LOG_FORMAT: "xml" }, {}, 'ulr = "a"\nsite_code = 1\nlog_level = "loud"');

		expect(problems).toHaveLength(4);
		expect(problems.slice(0, 2).join()).toMatch(/did you mean url\?.*site_code/);
	});

	test("A13: settings that exclude each other are told wherever they stand, and in which file", () => {
		const { problems } = parse([], { MUSTER_WORKER_ID: "w", MUSTER_WORKER_API_KEY: "k", MUSTER_URL: "a" }, {}, `enroll_token = "${key}"`);

		expect(problems).toEqual([expect.stringMatching(/MUSTER_ENROLL_TOKEN together with MUSTER_WORKER_API_KEY.*is "enroll_token" in "/)]);
	});

	test("B7: no problem quotes the file, not even one about its syntax", () => {
		const broken = file(`enroll_token = ${key}\nshared_secret = "quite secret`);

		expect(broken.problems).toHaveLength(1);
		expect(broken.problems.join()).not.toMatch(/d52364996e53|quite secret/);
	});

	test("B7: whatever the file holds, it is read or told, never thrown", () => {
		fc.assert(
			fc.property(
				fc.string({ unit: fc.constantFrom(...Array.from("[]{}=\"'\\\n\t #,.-_:+aeT0129é\u0000"), "url", "labels", "metrics_port") }),
				(text) => {
					const { problems, texts } = readToml("/w.toml", text, 0o600);
					for (const problem of problems) expect(problem).toMatch(/^(Cannot|Unknown) .*"\/w\.toml"/);
					for (const value of Object.values(texts)) expect(typeof value).toBe("string");
				},
			),
			{ numRuns: 2_000 },
		);
	});
});

describe("who may read the file", () => {
	test.each([
		[0o644, `enroll_token = "${key}"`, "it holds enroll_token and every user can read it (0644), run chmod 600 /w.toml"],
		[0o604, 'worker_api_key = "k"\nshared_secret = "s"', "it holds shared_secret and worker_api_key"],
		[0o602, 'worker_name = "a"', "every user can change it (0602), run chmod 600 /w.toml"],
		[0o666, 'enroll_token = "x"', "every user can change it"],
	])("B7: %o with %j is refused with the remedy", (mode, toml, why) => {
		expect(readToml("/w.toml", toml, mode).problems).toEqual([expect.stringContaining(why)]);
	});

	test.each([
		[0o600, 'enroll_token = "x"'],
		[0o640, 'enroll_token = "x"'],
		[0o644, 'enroll_token = ""\nenroll_token_file = "/run/key"\nurl = "http://a"'],
		[undefined, 'enroll_token = "x"'],
	])("B7: %o with %j is taken", (mode, toml) => {
		expect(readToml("/w.toml", toml, mode).problems).toEqual([]);
	});
});

describe("which file is read", () => {
	const usual = ["/home/.muster/config.toml", "/etc/muster/worker.toml"];
	/** Files by path; null: there, but not to be read. */
	const disk = (files: Readonly<Record<string, string | null>>) => ({
		exists: (path: string) => files[path] !== undefined,
		read(path: string) {
			const text = files[path];
			const code = text === undefined ? "ENOENT" : "EACCES";
			if (typeof text !== "string") throw Object.assign(new Error(`${code}: no`), { code });
			return { text, mode: 0o600 };
		},
	});

	test("B7: the home directory's, else that of /etc, else none", () => {
		expect(findToml(disk({ [usual[0] ?? ""]: "", [usual[1] ?? ""]: "" }), undefined, usual)?.path).toBe("/home/.muster/config.toml");
		expect(findToml(disk({ [usual[1] ?? ""]: "" }), undefined, usual)?.path).toBe("/etc/muster/worker.toml");
		expect(findToml(disk({}), undefined, usual)).toBeUndefined();
	});

	test("B7: --config beats both, and must be there", () => {
		const files = disk({ "/own.toml": "", "/etc/muster/worker.toml": "" });

		expect(findToml(files, "/own.toml", usual)?.path).toBe("/own.toml");
		expect(findToml(files, "/gone.toml", usual)?.problems).toEqual([expect.stringContaining('Cannot read --config "/gone.toml"')]);
	});

	test("B7: a file that is there and cannot be read is told, not passed over", () => {
		const found = findToml(disk({ "/home/.muster/config.toml": null, "/etc/muster/worker.toml": "" }), undefined, usual);

		expect(found?.problems).toEqual([
			expect.stringMatching(/Cannot read "\/home\/\.muster\/config\.toml": EACCES.*as a user who may read it/),
		]);
	});
});
