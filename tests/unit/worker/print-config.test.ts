import { expect, test } from "bun:test";
import { formatConfig } from "../../../worker/print-config.ts";
import { settingNames, settings } from "../../../worker/settings.ts";
import { parse } from "./parse.ts";

const key = "mst_enroll_a7659f35fa8f_d52364996e53eee765f20335f9cc27770d70c051c616ff183ad0a5650c8ddbff4008f591";

/** The value and the origin that are shown of a setting. */
function shown(text: string, variable: string): readonly string[] {
	const row = text.split("\n").find((line) => line.startsWith(`${variable} `));
	return (row ?? "").slice(variable.length).trim().split(/ {2,}/);
}

test("B7: each setting is shown with its value and where that came from", () => {
	const env = { MUSTER_WORKER_NAME: "edge-1", MUSTER_SITE_CODE_FILE: "/code", MUSTER_LABELS: "" };
	const toml = 'url = "http://a:1"\nlog_level_file = "/level"\n[labels]\nrack = 7';
	const text = formatConfig(parse(["--log-format", "json"], env, { "/code": "berlin\n", "/level": "warn" }, toml));

	expect(text).toStartWith('configuration file: "/worker.toml"\n');
	const rows = Object.entries({
		MUSTER_LOG_FORMAT: ['"json"', "flag --log-format"],
		MUSTER_WORKER_NAME: ['"edge-1"', "variable MUSTER_WORKER_NAME"],
		MUSTER_SITE_CODE: ['"berlin"', 'file "/code", by variable MUSTER_SITE_CODE_FILE'],
		MUSTER_URL: ['"http://a:1"', 'url in "/worker.toml"'],
		MUSTER_LOG_LEVEL: ['"warn"', 'file "/level", by log_level_file in "/worker.toml"'],
		MUSTER_LABELS: ['"rack=7"', 'labels in "/worker.toml"'],
		MUSTER_METRICS_PORT: ["9100", "default"],
		MUSTER_WORKER_ID: ["-", "not set"],
	});
	for (const [variable, row] of rows) expect([variable, ...shown(text, variable)]).toEqual([variable, ...row]);
	for (const name of settingNames.filter((one) => one !== "nodeName")) expect(text).toContain(settings[name].variable);
});

test("B7: without a file it says so", () => {
	expect(formatConfig(parse([]))).toStartWith("configuration file: none\n");
});

test("B7: of a key of ours the public part is shown, of any other secret nothing, wherever it stands", () => {
	const secrets = {
		MUSTER_SHARED_SECRET: "the cluster's secret",
		MUSTER_AUTO_ENROLLMENT_KEY: "auto-enroll-secret",
		MUSTER_WORKER_API_KEY: "own",
	};
	const text = formatConfig(parse([], { ...secrets, MUSTER_ENROLL_TOKEN: key, MUSTER_TENANT: `${key.slice(0, 60)}x` }));

	expect(shown(text, "MUSTER_ENROLL_TOKEN")[0]).toBe("mst_enroll_a7659f35fa8f_[secret]");
	for (const variable of [...Object.keys(secrets), "MUSTER_TENANT"]) expect(shown(text, variable)[0]).toBe("[secret]");
	expect(text).not.toMatch(/d52364996e53|cluster|auto-enroll|own/);
});

test("B7: a password in an address is masked, and control characters do nothing to the terminal", () => {
	const text = formatConfig(parse([], { MUSTER_URL: "http://me:hunter2@a", MUSTER_WORKER_NAME: "a\u001b[2Jb" }));

	expect(text).not.toContain("hunter2");
	expect(text).not.toContain("\u001b");
});
