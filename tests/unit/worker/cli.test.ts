import { expect, test } from "bun:test";
import { helpText, parseCommandLine } from "../../../worker/cli.ts";
import { parse } from "./parse.ts";

test.each([
	[["--config", "/a.toml"], "run"],
	[["run", "--config=/a.toml"], "run"],
	[["status", "--config", "/a.toml"], "status"],
	[["doctor", "--config", "/a.toml"], "doctor"],
	[["--print-config", "--config", "/a.toml"], "print-config"],
	[["--config", "/a.toml", "--print-config", "run"], "print-config"],
])("B7: %j names the file for every command", (args, kind) => {
	expect(parseCommandLine(args)).toMatchObject({ command: { kind }, configPath: "/a.toml", flags: {}, problems: [] });
});

test.each([
	[["enroll", "--print-config"], '--print-config with "enroll": it belongs to "run"'],
	[["--print-config=yes"], "--print-config with a value: give it alone"],
	[["--config"], "--config without a value"],
	[["--config", "/a", "--config", "/b"], "--config twice"],
	[["--confg", "/a"], "did you mean --config?"],
	[["docter"], "did you mean doctor?"],
])("B7: %j is told with a remedy", (args, why) => {
	expect(parseCommandLine(args).problems).toEqual([expect.stringContaining(why)]);
});

test("B7: there is no variable for the configuration file: who sets one is told", () => {
	expect(parse([], { MUSTER_CONFIG: "/a.toml" }).problems).toEqual([expect.stringContaining("Unknown variable MUSTER_CONFIG")]);
});

test.each([
	[{}, 9_100],
	[{ MUSTER_METRICS_PORT: "off" }, undefined],
	[{ MUSTER_METRICS_PORT: "1" }, 1],
	[{ MUSTER_METRICS_PORT: "65535" }, 65_535],
])("H16: %j is the metrics port %p", (env, port) => {
	expect(parse([], env)).toMatchObject({ problems: [], config: { metricsPort: port } });
});

test.each(["0", "65536", "-1", "9100.5", "on", "0x10", " 1", "1e3"])("H16: %j is no metrics port", (text) => {
	expect(parse([], { MUSTER_METRICS_PORT: text }).problems).toEqual([expect.stringContaining("give a port from 1 to 65535, or off")]);
	expect(parse([`--metrics-port=${text}`]).problems).toHaveLength(1);
});

test("B7: --help tells of the file, its places and the order", () => {
	const text = helpText("1.2.3");

	for (const word of ["--config PATH", "--print-config", "~/.muster/config.toml", "/etc/muster/worker.toml", "doctor"]) {
		expect(text).toContain(word);
	}
});
