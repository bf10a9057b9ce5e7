import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type Config, parseConfig } from "../../src/config.ts";

const noFiles = (path: string): string => {
	throw new Error(`ENOENT: no such file, open '${path}'`);
};

function accepted(env: Record<string, string | undefined>, readFile = noFiles): Config {
	const result = parseConfig(env, readFile);
	if (!result.ok) throw new Error(result.problems.join("\n"));
	return result.config;
}

function problemsOf(env: Record<string, string | undefined>, readFile = noFiles): readonly string[] {
	const result = parseConfig(env, readFile);
	return result.ok ? [] : result.problems;
}

const secretText = "0123456789abcdef0123456789abcdef";

test("an empty environment is a complete configuration, closed to the outside", () => {
	expect(accepted({})).toEqual({
		dataDir: "./data",
		workerDist: undefined,
		database: undefined,
		listen: { hostname: "127.0.0.1", port: 7480 },
		apiListen: undefined,
		metricsListen: { hostname: "127.0.0.1", port: 7490 },
		publicUrl: undefined,
		serverAddr: undefined,
		jwtSecret: undefined,
		masterKey: undefined,
		formerMasterKeys: [],
		oidc: undefined,
		sharedSecret: undefined,
		autoEnrollmentKey: undefined,
		autoEnrollmentAlertHours: 24,
		externalWorkers: true,
		heartbeatSeconds: 15,
		staleSeconds: 90,
		rateLimitPerMinute: 10,
		lockout: { failures: 10, seconds: 900 },
		mesh: undefined,
		webhookPrivateAddresses: false,
		fuseDeadlineSeconds: 120,
		portainer: undefined,
		trustedProxies: [],
		introspection: true,
		retention: { attemptsDays: 90, attemptsMax: 5_000_000, auditDays: 400, alertsDays: 90 },
		log: { level: "info", format: "text" },
	});
});

test("every variable reaches the configuration", () => {
	const config = accepted({
		DATABASE_URL: "postgres://muster:pw@db/muster",
		DATABASE_DIRECT_URL: "postgresql://muster:pw@db:5433/muster",
		MUSTER_DATA_DIR: "/var/lib/muster-server",
		MUSTER_WORKER_DIST: "/usr/share/muster",
		MUSTER_LISTEN: "0.0.0.0:80",
		MUSTER_API_LISTEN: "[::1]:7481",
		MUSTER_METRICS_LISTEN: "127.0.0.1:0",
		MUSTER_PUBLIC_URL: "https://muster.example.net/",
		MUSTER_SERVER_ADDR: "100.64.0.1:7480",
		MUSTER_JWT_SECRET: secretText,
		MUSTER_MASTER_KEY: Buffer.alloc(32, 7).toString("base64"),
		MUSTER_OIDC_ISSUER: "https://login.example.net/",
		MUSTER_OIDC_AUDIENCE: "muster",
		MUSTER_OIDC_CLIENT_ID: "muster-dashboard",
		MUSTER_SHARED_SECRET: secretText,
		MUSTER_AUTO_ENROLLMENT_KEY: secretText,
		MUSTER_EXTERNAL_WORKERS: "off",
		MUSTER_HEARTBEAT_SECONDS: "5",
		MUSTER_STALE_SECONDS: "30",
		MUSTER_RATE_LIMIT: "20",
		MUSTER_LOCKOUT: "5/2h",
		MUSTER_TRUSTED_PROXIES: "10.0.0.0/8, 2001:db8::1",
		MUSTER_WEBHOOK_PRIVATE_ADDRESSES: "on",
		MUSTER_MESH: "headscale",
		MUSTER_HEADSCALE_URL: "https://mesh.example.net/",
		MUSTER_HEADSCALE_API_KEY: secretText,
		MUSTER_HEADSCALE_USER: "muster",
		MUSTER_HEADSCALE_TAGS: "tag:muster, tag:robot",
		MUSTER_HEADSCALE_PUBLIC_URL: "http://192.0.2.1:8080",
		MUSTER_EVENT_BUS: "postgres",
		MUSTER_INTROSPECTION: "off",
		MUSTER_RETENTION_ATTEMPTS_DAYS: "7",
		MUSTER_RETENTION_ATTEMPTS_MAX: "1000",
		MUSTER_RETENTION_AUDIT_DAYS: "3650",
		MUSTER_RETENTION_ALERTS_DAYS: "1",
		MUSTER_LOG_LEVEL: "debug",
		MUSTER_LOG_FORMAT: "json",
	});
	expect(config).toMatchObject({
		dataDir: "/var/lib/muster-server",
		workerDist: "/usr/share/muster",
		listen: { hostname: "0.0.0.0", port: 80 },
		apiListen: { hostname: "::1", port: 7481 },
		metricsListen: { hostname: "127.0.0.1", port: 0 },
		publicUrl: "https://muster.example.net",
		serverAddr: "100.64.0.1:7480",
		oidc: { issuer: "https://login.example.net/", audience: "muster", clientId: "muster-dashboard" },
		externalWorkers: false,
		heartbeatSeconds: 5,
		staleSeconds: 30,
		retention: { attemptsDays: 7, attemptsMax: 1_000, auditDays: 3_650, alertsDays: 1 },
		rateLimitPerMinute: 20,
		lockout: { failures: 5, seconds: 7_200 },
		trustedProxies: ["10.0.0.0/8", "2001:db8::1"],
		webhookPrivateAddresses: true,
		introspection: false,
		log: { level: "debug", format: "json" },
	});
	const { apiKey, ...mesh } = config.mesh ?? { apiKey: undefined };
	expect(mesh).toEqual({
		url: "https://mesh.example.net",
		publicUrl: "http://192.0.2.1:8080",
		user: "muster",
		tags: ["tag:muster", "tag:robot"],
	});
	expect(apiKey?.reveal()).toBe(secretText);
	expect(config.database?.url.reveal()).toBe("postgres://muster:pw@db/muster");
	expect(config.database?.directUrl.reveal()).toBe("postgresql://muster:pw@db:5433/muster");
	expect(config.jwtSecret?.reveal()).toBe(secretText);
	expect(config.sharedSecret?.reveal()).toBe(secretText);
	expect(config.autoEnrollmentKey?.reveal()).toBe(secretText);
});

test("without a direct URL the database's own is used", () => {
	expect(accepted({ DATABASE_URL: "postgres://db/muster" }).database?.directUrl.reveal()).toBe("postgres://db/muster");
});

test("the configuration cannot be changed", () => {
	expect(Object.isFrozen(accepted({}))).toBe(true);
});

describe("wrong values", () => {
	test.each([
		["DATABASE_URL", "mysql://db/muster", "PostgreSQL URL"],
		["MUSTER_LISTEN", "7480", "host:port"],
		["MUSTER_API_LISTEN", "::1:7480", "host:port"],
		["MUSTER_METRICS_LISTEN", "127.0.0.1:99999", "host:port"],
		["MUSTER_PUBLIC_URL", "muster.example.net", "give a URL"],
		["MUSTER_PUBLIC_URL", "https://user:pw@muster.example.net", "give a URL"],
		["MUSTER_SERVER_ADDR", "somewhere", "host:port or a URL"],
		["MUSTER_JWT_SECRET", "short", "32 or more"],
		["MUSTER_MASTER_KEY", "c2hvcnQ=", "32 bytes in base64"],
		["MUSTER_SHARED_SECRET", "short", "32 or more"],
		["MUSTER_AUTO_ENROLLMENT_KEY", "short", "32 or more"],
		["MUSTER_EXTERNAL_WORKERS", "no", "on or off"],
		["MUSTER_HEARTBEAT_SECONDS", "1.5", "whole number of seconds"],
		["MUSTER_HEARTBEAT_SECONDS", "0", "from 1"],
		["MUSTER_RATE_LIMIT", "-1", "whole number"],
		["MUSTER_LOCKOUT", "10/15", "10/15m"],
		["MUSTER_LOCKOUT", "0/15m", "10/15m"],
		["MUSTER_LOCKOUT", "10/25h", "10/15m"],
		["MUSTER_TRUSTED_PROXIES", "10.0.0.0/8,nonsense", "CIDRs"],
		["MUSTER_WEBHOOK_PRIVATE_ADDRESSES", "10.0.0.0/8", "on or off"],
		["MUSTER_INTROSPECTION", "true", "on or off"],
		["MUSTER_LOG_LEVEL", "trace", "debug or info or warn or error"],
		["MUSTER_LOG_FORMAT", "xml", "text or json"],
		["MUSTER_MESH", "zerotier", "give none or headscale"],
		["MUSTER_EVENT_BUS", "nats", "not available in this version"],
	])("%s=%s is refused and says what to give", (name, value, remedy) => {
		const problems = problemsOf({ MUSTER_SERVER_ADDR: "100.64.0.1:7480", [name]: value });
		expect(problems).toHaveLength(1);
		expect(problems[0]).toStartWith(name);
		expect(problems[0]).toContain(remedy);
	});

	test("all problems are reported at once", () => {
		const problems = problemsOf({ MUSTER_LISTEN: "x", MUSTER_LOG_LEVEL: "x", MUSTER_JWT_SECRET: "x", MUSTER_LISTENN: "x" });
		expect(problems.map((problem) => problem.split(" ")[0])).toEqual([
			"MUSTER_LISTEN",
			"MUSTER_JWT_SECRET",
			"MUSTER_LOG_LEVEL",
			"MUSTER_LISTENN",
		]);
	});

	test("no problem ever shows a secret's value", () => {
		const secrets = ["DATABASE_URL", "MUSTER_JWT_SECRET", "MUSTER_MASTER_KEY", "MUSTER_SHARED_SECRET", "MUSTER_AUTO_ENROLLMENT_KEY"];
		fc.assert(
			fc.property(fc.constantFrom(...secrets), fc.stringMatching(/^Q[A-Z]{5,20}$/), (name, value) => {
				const problems = problemsOf({ [name]: value });
				return problems.length === 1 && !problems.join().includes(value);
			}),
		);
	});

	test("a heartbeat that takes longer than staleness is refused, also against a default", () => {
		expect(problemsOf({ MUSTER_HEARTBEAT_SECONDS: "30", MUSTER_STALE_SECONDS: "30" })[0]).toContain("MUSTER_HEARTBEAT_SECONDS (30)");
		expect(problemsOf({ MUSTER_HEARTBEAT_SECONDS: "120" })[0]).toContain("MUSTER_STALE_SECONDS is 90");
	});

	test("half of a pair is refused", () => {
		expect(problemsOf({ MUSTER_OIDC_ISSUER: "https://a.example" })[0]).toContain("MUSTER_OIDC_AUDIENCE is not given");
		expect(problemsOf({ MUSTER_OIDC_AUDIENCE: "a" })[0]).toContain("MUSTER_OIDC_ISSUER is not given");
		expect(problemsOf({ MUSTER_OIDC_CLIENT_ID: "a" })[0]).toContain("MUSTER_OIDC_ISSUER is not given");
		expect(problemsOf({ DATABASE_DIRECT_URL: "postgres://a/b" })[0]).toContain("DATABASE_URL is not given");
	});
});

describe("unknown variables", () => {
	test.each([
		["MUSTER_LISTENN", "did you mean MUSTER_LISTEN?"],
		["MUSTER_JWT_SECRT", "did you mean MUSTER_JWT_SECRET?"],
		["MUSTER_JWT_SECRET_FIL", "did you mean MUSTER_JWT_SECRET_FILE?"],
		["MUSTER_SOMETHING_ELSE_ENTIRELY", "unset it"],
	])("%s is a problem: %s", (name, remedy) => {
		const problems = problemsOf({ [name]: "x" });
		expect(problems).toHaveLength(1);
		expect(problems[0]).toContain(remedy);
	});

	test("the worker's variables and everybody else's are left alone", () => {
		expect(
			problemsOf({ MUSTER_URL: "https://a", MUSTER_WORKER_NAME: "a", MUSTER_WORKER_API_KEY_FILE: "/a", PATH: "/bin", PGHOST: "a" }),
		).toEqual([]);
	});

	test("a variable of a part this version lacks is a problem, not ignored", () => {
		for (const name of ["NATS_URL", "NATS_URL_FILE"]) {
			expect(problemsOf({ [name]: "x" })).toEqual([
				expect.stringContaining(`${name} is given: what it is for is not available in this version`),
			]);
		}
	});

	test("an empty value counts as unset", () => {
		expect(problemsOf({ MUSTER_LISTEN: "", MUSTER_NONSENSE: "", MUSTER_JWT_SECRET_FILE: "" })).toEqual([]);
	});
});

describe("_FILE twins", () => {
	const files: Record<string, string> = {
		"/secret": `${secretText}\n`,
		"/two-lines": `${secretText}\n\n`,
		"/windows": `${secretText}\r\n`,
		"/empty": "\n",
	};
	const readFile = (path: string) => files[path] ?? noFiles(path);

	test("the value is the file's content without one newline at its end", () => {
		expect(accepted({ MUSTER_JWT_SECRET_FILE: "/secret" }, readFile).jwtSecret?.reveal()).toBe(secretText);
		expect(accepted({ MUSTER_JWT_SECRET_FILE: "/windows" }, readFile).jwtSecret?.reveal()).toBe(secretText);
		expect(accepted({ MUSTER_JWT_SECRET_FILE: "/two-lines" }, readFile).jwtSecret?.reveal()).toBe(`${secretText}\n`);
	});

	test("a variable and its twin together are a problem", () => {
		expect(problemsOf({ MUSTER_JWT_SECRET: secretText, MUSTER_JWT_SECRET_FILE: "/secret" }, readFile)).toEqual([
			"MUSTER_JWT_SECRET and MUSTER_JWT_SECRET_FILE are both given: keep one of them",
		]);
	});

	test("a file that cannot be read or is empty is a problem that names it", () => {
		expect(problemsOf({ MUSTER_JWT_SECRET_FILE: "/missing" }, readFile)[0]).toMatch(
			/^MUSTER_JWT_SECRET_FILE is "\/missing": that file cannot be read \(ENOENT/,
		);
		expect(problemsOf({ MUSTER_JWT_SECRET_FILE: "/empty" }, readFile)[0]).toContain("that file is empty");
	});
});

test("H5: an API listener on every address needs one that workers are told: on the other listener they could not report", () => {
	for (const all of ["0.0.0.0:7481", "[::]:7481"]) {
		expect(problemsOf({ MUSTER_API_LISTEN: all })).toEqual([expect.stringContaining("MUSTER_SERVER_ADDR is not given")]);
		expect(problemsOf({ MUSTER_API_LISTEN: all, MUSTER_SERVER_ADDR: "100.64.0.1:7481" })).toEqual([]);
	}
	expect(problemsOf({ MUSTER_API_LISTEN: "100.64.0.1:7481" })).toEqual([]);
});
