import { describe, expect, test } from "bun:test";
import type { Log } from "../../../src/lib/log.ts";
import type { Config } from "../../../worker/config.ts";
import { compareConfigs, reloader } from "../../../worker/reload.ts";
import { type SettingName, settingNames, settings } from "../../../worker/settings.ts";
import { parse } from "./parse.ts";

const key = "mst_enroll_a7659f35fa8f_d52364996e53eee765f20335f9cc27770d70c051c616ff183ad0a5650c8ddbff4008f591";
const before = `url = "http://a"\nworker_name = "a"\nenroll_token = "${key}"\n`;
const read = (toml: string) => parse([], {}, {}, toml);

describe("what a running worker takes over", () => {
	test("B7: log and server address; all else is left, with a remedy", () => {
		const after = read(
			'log_level = "debug"\nserver_addr = "b:1"\nurl = "http://c"\nworker_name = "b"\nmetrics_port = 9200\nlabels = "a=1"',
		);
		const { next, taken, left } = compareConfigs(read(before), after);

		expect([...taken].sort()).toEqual(["MUSTER_LOG_LEVEL", "MUSTER_SERVER_ADDR"]);
		expect(next.config).toEqual({ ...read(before).config, logLevel: "debug", serverAddr: after.config.serverAddr });
		expect(left.map(({ setting }) => setting)).toEqual(["MUSTER_URL", "MUSTER_WORKER_NAME", "MUSTER_LABELS", "MUSTER_METRICS_PORT"]);
		for (const { why } of left) expect(why).toContain("restart");
	});

	test("A12: MUSTER_URL too where nothing was enrolled and it may be the address to report to", () => {
		const own = 'worker_id = "w"\nworker_api_key = "k"\n';
		const { next, taken } = compareConfigs(read(`${own}url = "a"`), read(`${own}url = "b"`));

		expect(taken).toEqual(["MUSTER_URL"]);
		expect(next.config.url?.http).toBe("http://b/graphql");
	});

	test("B7: a key taken out of the file after the first success is no news", () => {
		expect(compareConfigs(read(before), read('url = "http://a"\nworker_name = "a"'))).toMatchObject({ taken: [], left: [] });
	});

	test("B7: writing out what held anyway is no change", () => {
		expect(compareConfigs(read(before), read(`${before}log_level = "info"\nmetrics_port = 9100`))).toMatchObject({ taken: [], left: [] });
	});

	test("B7: what was left is told again next time, until it is undone", () => {
		const first = compareConfigs(read(before), read(`${before}metrics_port = "off"`));

		expect(compareConfigs(first.next, read(`${before}metrics_port = "off"`)).left).toHaveLength(1);
		expect(compareConfigs(first.next, read(before)).left).toHaveLength(0);
	});

	test("B7: every setting is either taken or left with a remedy", () => {
		for (const name of settingNames) {
			const found = new Map([[name, { text: "new", origin: { source: "flag", name, file: undefined } }]] as const) as ReadonlyMap<
				SettingName,
				{ readonly text: string; readonly origin: { readonly source: "flag"; readonly name: string; readonly file: undefined } }
			>;
			const { taken, left } = compareConfigs(read(""), { config: read("").config, found });
			expect([...taken, ...left.map(({ setting }) => setting)]).toEqual([settings[name].variable]);
		}
	});
});

describe("SIGHUP", () => {
	function world(...texts: readonly string[]) {
		const lines: [string, unknown][] = [];
		const note = (event: string, fields?: unknown) => void lines.push([event, fields]);
		const log: Log = { debug: note, info: note, warn: note, error: note };
		const applied: Config[] = [];
		let reads = 0;
		const reload = (apply = (config: Config) => void applied.push(config)) =>
			reloader(() => read(texts[reads++] ?? ""), apply, log, read(before));
		return { lines, applied, reload };
	}

	test("B7: a wrong file is told, every problem of it, and changes nothing; the next right one is taken", () => {
		const { lines, applied, reload } = world('log_level = "loud"\nulr = "x"', `${before}log_level = "warn"`);
		const hangUp = reload();
		hangUp();

		expect(lines.map(([event]) => event)).toEqual(["config.refused", "config.refused"]);
		expect(JSON.stringify(lines)).toContain("goes on with its former configuration");
		expect(applied).toEqual([]);
		hangUp();
		expect(applied.map(({ logLevel }) => logLevel)).toEqual(["warn"]);
		expect(lines.at(-1)).toEqual(["config.read", { file: "/worker.toml", taken: ["MUSTER_LOG_LEVEL"] }]);
	});

	test("B7: what cannot be applied is told, and is tried anew the next time", () => {
		const text = `${before}server_addr = "b"`;
		const { lines, applied, reload } = world(text, text);
		let fails = true;
		const hangUp = reload((config) => {
			if (fails) throw new Error("no address");
			applied.push(config);
		});
		hangUp();
		fails = false;
		hangUp();

		expect(lines[0]).toEqual(["config.refused", { why: expect.stringContaining("no address; the worker goes on") }]);
		expect(applied).toHaveLength(1);
	});
});
