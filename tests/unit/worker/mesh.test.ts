/** The mesh's decisions: what a status means, what is done next, what is run. */
import { describe, expect, test } from "bun:test";
import { defaultMesh } from "../../../worker/config-mesh.ts";
import type { MeshApi } from "../../../worker/mesh-api.ts";
import { daemonArgs, proxyOf } from "../../../worker/mesh-daemon.ts";
import { routeOver } from "../../../worker/mesh-route.ts";
import { isKeyRefusal, meshHostname, type MeshStatus, nextMove, parseStatus, standingOf } from "../../../worker/mesh-status.ts";
import { findTools, toolEnv } from "../../../worker/mesh-tools.ts";
import { upArgs } from "../../../worker/mesh-up.ts";
import { parse } from "./parse.ts";

const status = (backend: string, more: Partial<MeshStatus> = {}): MeshStatus => ({
	backend,
	hasNodeKey: true,
	asksForLogin: false,
	tun: false,
	addresses: [],
	nodeName: undefined,
	...more,
});
const member = { addresses: ["100.64.0.2"] };
const facts = { hasKey: false, marked: true, sameControl: true, own: true };

describe("how a host stands", () => {
	test.each([
		["Running", member, "joined"],
		// No relay in reach: it stays so, and peers are reached all the same.
		["Starting", member, "joined"],
		["Starting", {}, "resuming"],
		["NoState", {}, "resuming"],
		["NoState", { hasNodeKey: false }, "outside"],
		["NeedsLogin", member, "outside"],
		["NeedsMachineAuth", member, "unapproved"],
		["Stopped", member, "stopped"],
		// It remembers its addresses, and the control server does not know it any more.
		["Running", { ...member, asksForLogin: true }, "outside"],
	] as const)("H7: %s with %j is %s", (backend, more, standing) => {
		expect(standingOf(status(backend, more))).toBe(standing);
	});

	test("H7: what tailscaled writes before any login is no membership", () => {
		const fresh = parseStatus('{"BackendState":"NeedsLogin","TailscaleIPs":null,"Self":{"HostName":"a","DNSName":""}}');

		expect(fresh === undefined ? undefined : standingOf(fresh)).toBe("outside");
	});

	test("what is no status is none", () => {
		for (const text of ["", "{}", "[]", "nonsense"]) expect(parseStatus(text)).toBeUndefined();
		expect(parseStatus('{"BackendState":"Running","Self":{"HostName":"A","DNSName":"a-1.mesh."}}')?.nodeName).toBe("a-1");
	});
});

describe("the next move", () => {
	const outside = { hasNodeKey: false };
	const asked = { asksForLogin: true };
	test.each([
		["a member", status("Running", member), {}, "done"],
		["a member again after a crash before the mark", status("Running", member), { marked: false, hasKey: true }, "done"],
		["its first login", status("NeedsLogin", outside), { marked: false, hasKey: true }, "login"],
		["state without a login, mark or key", status("NeedsLogin", outside), { marked: false }, "lost"],
		["a mark, and the client's state is gone", status("NeedsLogin", outside), {}, "lost"],
		["a start with its login, before the control server has answered", status("NoState"), {}, "wait"],
		["NeedsLogin in passing", status("NeedsLogin"), {}, "wait"],
		["a node that was deleted", status("NeedsLogin", asked), {}, "lost"],
		["a deleted node that the client remembers", status("Running", { ...member, ...asked }), {}, "lost"],
		["the host's client whose login is being renewed", status("Running", { ...member, ...asked }), { own: false }, "done"],
		["a node that was deleted, and a new key", status("NeedsLogin", asked), { hasKey: true }, "login"],
		["a key that was refused, and a new one", status("NoState"), { marked: false, hasKey: true }, "login"],
		["a client that was switched off", status("Stopped"), {}, "resume"],
		["the host's client that was switched off", status("Stopped"), { own: false }, "off"],
		["the host's client on another mesh", status("Running", member), { own: false, sameControl: false, hasKey: true }, "foreign"],
		["its own client on a former mesh", status("Running", member), { sameControl: false, hasKey: true }, "login"],
		["its own client on a former mesh, without a key", status("Running", member), { sameControl: false }, "lost"],
		["a node that has to be approved", status("NeedsMachineAuth"), {}, "wait"],
	] as const)("H7: %s: %4$s", (_, seen, more, move) => {
		expect(nextMove(seen, { ...facts, ...more })).toBe(move);
	});
});

test.each(["authkey already used", "authkey expired", "invalid pre auth key", "AuthKey not found", "HTTP error 401"])(
	"H7: %p is the control server's word on the key",
	(said) => {
		expect(isKeyRefusal(`backend error: ${said}`)).toBe(true);
		expect(isKeyRefusal("timeout waiting for Tailscale service to enter a Running state")).toBe(false);
	},
);

test.each([
	["edge-1", "edge-1"],
	["Edge_1.example.com", "edge-1-example-com"],
	["--", "muster-worker"],
	["x".repeat(80), "x".repeat(63)],
	["Küche", "k-che"],
])("a worker named %p asks for the node name %p", (name, label) => {
	expect(meshHostname(name)).toBe(label);
});

describe("what is run", () => {
	const plan = { socket: "/s", controlUrl: "http://c", nodeName: "a", keyPath: "/k", force: false, own: true };

	test("H7: the key's file is named on the command line, never the key; nobody is let in to the loopback; nothing waits for ever", () => {
		const args = upArgs(plan);

		expect(args).toContain("--auth-key=file:/k");
		expect(args).toContain("--shields-up");
		expect(args).toContain("--accept-dns=false");
		expect(args).toContain("--accept-routes=false");
		expect(args.join(" ")).toMatch(/--timeout=\d+s/);
	});

	test("the host's own client keeps its settings", () => {
		const args = upArgs({ ...plan, own: false, keyPath: undefined });

		for (const flag of ["--reset", "--shields-up"]) expect(args).not.toContain(flag);
		expect(args.join()).not.toContain("auth-key");
	});

	test("two workers in one network have no port in common", () => {
		expect(daemonArgs("userspace", "/m")).toContain("--outbound-http-proxy-listen=127.0.0.1:0");
		expect(daemonArgs("userspace", "/m")).toContain("--port=0");
		expect(daemonArgs("tun", "/m").join(" ")).not.toContain("proxy");
		expect(proxyOf("2026/11/21 14:45:31 HTTP proxy listening on 127.0.0.1:38961")).toBe("127.0.0.1:38961");
		expect(proxyOf("SOCKS5 listening on 127.0.0.1:1")).toBeUndefined();
	});

	test("the client's environment has no secret of the worker", () => {
		const env = toolEnv("/m", { MUSTER_ENROLL_TOKEN: "x", BUN_OPTIONS: "x", TS_AUTHKEY: "x", TS_DEBUG_USE_DERP_HTTP: "1", PATH: "/bin" });

		expect(env).toEqual({ HOME: "/m", TS_DEBUG_USE_DERP_HTTP: "1", PATH: "/bin", TS_LOGS_DIR: "/m" });
	});
});

describe("how the server is reached", () => {
	const api = (known: boolean | undefined): MeshApi => ({
		status: () => Promise.resolve(undefined),
		controlUrl: () => Promise.resolve(undefined),
		isMember: () => Promise.resolve(known),
		isMemberName: () => Promise.resolve(known),
	});
	const to = (host: string) => ({ http: `http://${host}/graphql`, ws: `ws://${host}/graphql` });
	const way = { mode: "userspace", proxy: "http://127.0.0.1:5", silent: "silent" } as const;

	test.each([
		["a member's address", "100.64.0.1:7481", true, way, { ...to("100.64.0.1:7481"), proxy: way.proxy }],
		["a member's IPv6 address", "[fd7a:115c:a1e0::1]", true, way, { ...to("[fd7a:115c:a1e0::1]"), proxy: way.proxy }],
		["a member's name", "server:7481", true, way, { ...to("server:7481"), proxy: way.proxy }],
		["a member, with a device", "100.64.0.1", true, { ...way, mode: "tun", proxy: undefined }, to("100.64.0.1")],
		["an address of the open network", "10.0.0.5:7480", false, way, to("10.0.0.5:7480")],
		["the same while the client is silent", "10.0.0.5:7480", undefined, way, to("10.0.0.5:7480")],
		["a client that is silent", "100.64.0.1", undefined, way, { why: "silent" }],
		["a proxy that is not known yet", "100.64.0.1", true, { ...way, proxy: undefined }, { why: "silent" }],
	] as const)("H5: %s", async (_, host, known, by, wanted) => {
		expect(await routeOver(api(known), to(host), by)).toEqual(wanted);
	});

	test("H5: a mesh address that is nobody's is not called: the client would take the credential to the open network", async () => {
		expect(await routeOver(api(false), to("100.64.0.9"), way)).toEqual({ why: expect.stringContaining("no member of the mesh") });
	});
});

describe("the settings", () => {
	test("B6: every problem at once, each with its remedy", () => {
		const { problems } = parse([], { MUSTER_MESH_MODE: "magic", MUSTER_TAILSCALED: "tailscaled", MUSTER_MESH_STATE_DIR: "mesh" });

		expect(problems).toEqual([
			expect.stringContaining('MUSTER_MESH_MODE "magic": it is userspace, tun, host or off'),
			expect.stringContaining('MUSTER_MESH_STATE_DIR "mesh": give a whole path'),
			expect.stringContaining('MUSTER_TAILSCALED "tailscaled": give a whole path'),
		]);
	});

	test("H2: they come by flag, variable, file or TOML like all others", () => {
		const { config, problems } = parse(
			["--mesh-mode", "host"],
			{ MUSTER_MESH_SOCKET_FILE: "/f" },
			{ "/f": "/run/ts.sock\n" },
			'tailscale = "/opt/tailscale"',
		);

		expect(problems).toEqual([]);
		expect(config.mesh).toMatchObject({ mode: "host", asked: true, socket: "/run/ts.sock", tailscale: "/opt/tailscale" });
		expect(parse(["--mesh-socket", "/s"]).problems).toEqual([expect.stringContaining("MUSTER_MESH_MODE=host")]);
	});

	test("H7: a missing program is told with what to install, where it was looked for by PATH and by name", () => {
		const config = { ...defaultMesh, mode: "userspace" } as const;

		expect(() => findTools(config, "", () => false)).toThrow(/tailscale is not installed.*install\.sh.*MUSTER_TAILSCALE/);
		expect(() => findTools({ ...config, tailscaled: "/x" }, "", (path) => path !== "/x")).toThrow('MUSTER_TAILSCALED "/x"');
		expect(findTools(config, "/a:/b", (path) => path.startsWith("/b/"))).toEqual({
			tailscale: "/b/tailscale",
			tailscaled: "/b/tailscaled",
		});
		expect(findTools({ ...config, mode: "host" }, "", (path) => path === "/usr/bin/tailscale").tailscaled).toBeUndefined();
	});
});
