// biome-ignore-all lint/suspicious/noTemplateCurlyInString: they are Compose's variables
import { describe, expect, test } from "bun:test";
import type { StackService } from "../../../src/engine/stack-model.ts";
import { file, read, web, wrongs } from "./compose-read.ts";

const vols = "volumes: { data: }";
const port = (target: number, published: string | null, its: object = {}) => ({ target, published, hostIp: "", protocol: "tcp", ...its });
const mount = (its: object) => ({ readOnly: false, noCopy: false, createHostPath: true, tmpfsBytes: 0, ...its });

const forms: readonly (readonly [string, string, keyof StackService, unknown, string?])[] = [
	[
		"ports, short",
		'ports: ["8080:80", "127.0.0.1:53:53/udp", "9000", 81, "[::1]:1:2", "127.0.0.1::7"]',
		"ports",
		[
			port(80, "8080"),
			port(53, "53", { hostIp: "127.0.0.1", protocol: "udp" }),
			port(9000, null),
			port(81, null),
			port(2, "1", { hostIp: "::1" }),
			port(7, null, { hostIp: "127.0.0.1" }),
		],
	],
	[
		"ports, ranges",
		'ports: ["3000-3001:4000-4001", "8000-8010:80"]',
		"ports",
		[port(4000, "3000"), port(4001, "3001"), port(80, "8000-8010")],
	],
	[
		"ports, long",
		"ports: [{ target: 80, published: '8080', protocol: udp, host_ip: 127.0.0.1, mode: host }]",
		"ports",
		[port(80, "8080", { hostIp: "127.0.0.1", protocol: "udp" })],
	],
	[
		"volumes, short",
		"volumes: [data:/data:ro, /srv:/srv, /cache]",
		"mounts",
		[
			mount({ type: "volume", source: "data", target: "/data", readOnly: true }),
			mount({ type: "bind", source: "/srv", target: "/srv" }),
			mount({ type: "volume", source: null, target: "/cache" }),
		],
		vols,
	],
	[
		"volumes, long",
		"volumes: [{ type: bind, source: /srv, target: /s, read_only: true, bind: { create_host_path: false } }, { type: tmpfs, target: /t, tmpfs: { size: 1m } }]",
		"mounts",
		[
			mount({ type: "bind", source: "/srv", target: "/s", readOnly: true, createHostPath: false }),
			mount({ type: "tmpfs", source: null, target: "/t", tmpfsBytes: 1_048_576 }),
		],
	],
	[
		"environment, map",
		"environment: { A: 1, B: 'two', C: true, D: 1.5, E: '' }",
		"environment",
		{ A: "1", B: "two", C: "true", D: "1.5", E: "" },
	],
	["environment, list", "environment: [A=1, 'B=x=y', C=]", "environment", { A: "1", B: "x=y", C: "" }],
	[
		"environment, a number that is too large for a float",
		"environment: { A: 12345678901234567890 }",
		"environment",
		{ A: "12345678901234567890" },
	],
	[
		"networks, list",
		"networks: [b, a]",
		"networks",
		[
			{ key: "a", aliases: [], ipv4Address: null },
			{ key: "b", aliases: [], ipv4Address: null },
		],
		"networks: { a: , b: }",
	],
	[
		"networks, map",
		"networks: { a: { aliases: [x], ipv4_address: 10.0.0.2 }, default: }",
		"networks",
		[
			{ key: "a", aliases: ["x"], ipv4Address: "10.0.0.2" },
			{ key: "default", aliases: [], ipv4Address: null },
		],
		"networks: { a: }",
	],
	["network_mode", "network_mode: host", "networkMode", "host"],
	["no networks: the project's own", "labels: {}", "networks", [{ key: "default", aliases: [], ipv4Address: null }]],
	[
		"depends_on, list",
		"depends_on: [db]",
		"dependsOn",
		[{ service: "db", condition: "service_started", required: true, restart: false }],
		"  db: { image: app }",
	],
	[
		"depends_on, conditions",
		"depends_on: { db: { condition: service_healthy } }",
		"dependsOn",
		[{ service: "db", condition: "service_healthy", required: true, restart: false }],
		"  db: { image: app }",
	],
	[
		"healthcheck, text",
		"healthcheck: { test: curl -f x, interval: 1m30s, timeout: 500ms, retries: 3, start_period: 5s }",
		"healthcheck",
		{ test: ["CMD-SHELL", "curl -f x"], interval: 90e9, timeout: 5e8, startPeriod: 5e9, retries: 3 },
	],
	[
		"healthcheck, list",
		"healthcheck: { test: [CMD, true] }",
		"healthcheck",
		{ test: ["CMD", "true"], interval: 0, timeout: 0, startPeriod: 0, retries: 0 },
	],
	[
		"healthcheck, off",
		"healthcheck: { disable: true }",
		"healthcheck",
		{ test: ["NONE"], interval: 0, timeout: 0, startPeriod: 0, retries: 0 },
	],
	["restart", "restart: on-failure:3", "restart", { name: "on-failure", retries: 3 }],
	["restart: no, unquoted as people write it", "restart: no", "restart", { name: "no", retries: 0 }],
	["command, text", `command: sh -c "echo 'a b'" c\\ d`, "command", ["sh", "-c", "echo 'a b'", "c d"]],
	["command, list", "command: [a, 1]", "command", ["a", "1"]],
	["entrypoint, none", "entrypoint: []", "entrypoint", []],
	["deploy.replicas", "deploy: { replicas: 3 }", "replicas", 3],
	["scale", "scale: 0", "replicas", 0],
	["labels, list", "labels: [a=b, c]", "labels", { a: "b", c: "" }],
	["extra_hosts, list", 'extra_hosts: ["a:1.2.3.4", "b=::1"]', "extraHosts", ["a:1.2.3.4", "b:::1"]],
	["extra_hosts, map", "extra_hosts: { a: 1.2.3.4 }", "extraHosts", ["a:1.2.3.4"]],
	["tmpfs", 'tmpfs: ["/run", "/tmp:size=64m"]', "tmpfs", { "/run": "", "/tmp": "size=64m" }],
	["stop_grace_period", "stop_grace_period: 1m30s", "stopGraceSeconds", 90],
	["expose", 'expose: ["80", "90/udp"]', "expose", ["80/tcp", "90/udp"]],
	["keys without a value are as if they were not there", "ports:\ncommand:\nenvironment:", "command", null],
	["keys for others", "x-mine: { anything: [1] }", "replicas", 1],
];

const refused: readonly (readonly [string, string, string, string?])[] = [
	["an unknown key", "foo: 1", "services.web.foo is not supported: take it out"],
	["a key that is nearly one", "Environment: {}", "services.web.Environment is not supported: did you mean environment?"],
	[
		"build",
		"build: .",
		"services.web.build is not supported: build the image, push it to a registry the host reaches, and name it as image",
	],
	["env_file", "env_file: .env", "services.web.env_file is not supported: there are no files here, write its lines under environment"],
	["a key deep inside", "healthcheck: { tests: x }", "services.web.healthcheck.tests is not supported: did you mean test?"],
	["limits that would not be kept", "deploy: { resources: {} }", "services.web.deploy.resources is not supported: take it out"],
	["a key named as every object's", "constructor: 1", "services.web.constructor is not supported: take it out"],
	[
		"a relative path",
		"volumes: [./data:/data]",
		'services.web.volumes[0] has the host\'s path "./data", and the file lies on no host: give an absolute path',
	],
	[
		"a volume nobody declared",
		"volumes: [data:/data]",
		'services.web.volumes names "data", which is not under the top-level volumes: add it there',
	],
	[
		"a network nobody declared",
		"networks: [a]",
		'services.web.networks names "a", which is not under the top-level networks: add it there',
	],
	[
		"a service that is none",
		"depends_on: [db]",
		'services.web.depends_on names "db", which is no service of this file: add it or take it out',
	],
	["itself", "depends_on: [web]", "services.web.depends_on goes in a circle: web → web; take one of them out"],
	[
		"a port out of range",
		"ports: ['80:70000']",
		'services.web.ports[0] is "80:70000", and has to be a port such as "8080:80", "127.0.0.1:8080:80" or "53:53/udp"',
	],
	[
		"an address that is none",
		"ports: ['host:80:80']",
		'services.web.ports[0] is "host:80:80", and has to be a port such as "8080:80", "127.0.0.1:8080:80" or "53:53/udp"',
	],
	["ranges of two lengths", "ports: ['1-2:1-3']", 'services.web.ports[0] is "1-2:1-3": its ranges have 2 and 3 ports, give both as many'],
	[
		"one port for several",
		"scale: 2\nports: ['80:80']",
		"services.web.ports cannot publish 80 for 2 containers: publish a range or no port of the host's, or have one",
	],
	[
		"one name for several",
		"scale: 2\ncontainer_name: x",
		"services.web.container_name cannot be the name of 2 containers: take it out, or have one",
	],
	[
		"a restart that is none",
		"restart: sometimes",
		'services.web.restart is "sometimes", and has to be "no", always, unless-stopped, on-failure or on-failure:3',
	],
	[
		"a span that is none",
		"stop_grace_period: soon",
		'services.web.stop_grace_period is "soon", and has to be a span of at most a day such as 30s or 1m30s',
	],
	["too many replicas", "scale: 1000", "services.web.scale is 1000, and has to be a whole number from 0 to 100"],
	["a map where a list has to be", "cap_add: { a: 1 }", "services.web.cap_add is a map, and has to be a list"],
	[
		"labels that are ours",
		"labels: { com.docker.compose.project: x }",
		'services.web.labels has "com.docker.compose.project", which is set for you: take it out',
	],
	[
		"a variable that is not given",
		"command: $CMD",
		"services.web.command uses the variable CMD, which is not given: give it in environment, or write ${CMD:-default}",
	],
	[
		"a name without value",
		"environment: [TOKEN]",
		"services.web.environment[0] has no value for TOKEN: write one, or give the variable in environment",
	],
	[
		"another project's name",
		"scale: 1",
		"name is another than the stack's, shop: deploy it under that name, or take it out",
		"name: other",
	],
	[
		"secrets",
		"scale: 1",
		"secrets is not supported: put the content into a volume, or give it in environment",
		"secrets: { a: { file: x } }",
	],
	[
		"an external volume with a driver",
		"volumes: [d:/d]",
		"volumes.d is external, and cannot have driver: take that out",
		"volumes: { d: { external: true, driver: x } }",
	],
	["a tag", "command: !reset x", "line 4, column 14 is no YAML that can be read: Unresolved tag: !reset"],
	["a key twice", "scale: 1\nscale: 2", "line 5, column 5 is no YAML that can be read: Map keys must be unique"],
	["a key twice in braces", "labels: { a: x, b: y, 'a': z }", "line 4, column 27 is no YAML that can be read: Map keys must be unique"],
	["a key that is a list", "? [a]\n: 1", "services.web has the key a, which is no text: quote it"],
];

describe("H12: a compose file is read as Compose reads it", () => {
	test.each(forms.map(([name, lines, field, value, rest = ""]) => [name, lines, field, value, rest] as const))(
		"%s",
		(_, lines, field, value, rest) => expect(web(lines, rest)[field]).toEqual(value as never),
	);

	test("networks and volumes are named after the project, unless they say otherwise; what nobody uses is not made", () => {
		const model = read(
			file(
				"networks: [a, b, default]\nvolumes: ['v:/v', 'w:/w']",
				"networks: { a: , b: { external: true, name: lan }, unused: }\nvolumes: { v: { labels: { x: y } }, w: { external: true }, z: }",
			),
		);
		expect(model.networks.map(({ name, external }) => [name, external])).toEqual([
			["shop_a", false],
			["lan", true],
			["shop_default", false],
		]);
		expect(model.volumes.map(({ name, external }) => [name, external])).toEqual([
			["shop_v", false],
			["w", true],
		]);
	});

	test("anchors and merge keys are written out, and `version` is tolerated", () => {
		const model = read(
			"version: '3'\nx-common: &common\n  image: app\n  restart: always\nservices:\n  a: { <<: *common }\n  b: { <<: *common, restart: 'no' }\n",
		);
		expect(model.services.map(({ name, image, restart }) => [name, image, restart.name])).toEqual([
			["a", "app", "always"],
			["b", "app", "no"],
		]);
	});
});

describe("H12: what is not supported is an error that names it, never passed over", () => {
	test.each(refused.map(([name, lines, problem, rest = ""]) => [name, lines, problem, rest] as const))("%s", (_, lines, problem, rest) =>
		expect(wrongs(file(lines, rest))).toContain(problem),
	);

	test("all problems are told at once", () => {
		expect(wrongs("services:\n  a: { build: ., foo: 1 }\n  b: { scale: x }\nbar: 1\n")).toHaveLength(5);
	});

	test.each(["", "a", "[]", "services:", "services: {}", "services: []", "services: { web: }", "{", "\u0000", "--- 1\n--- 2"])(
		"no stack in %j",
		(source) => {
			expect(wrongs(source).length).toBeGreaterThan(0);
		},
	);
});
