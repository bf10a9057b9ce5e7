import { describe, expect, test } from "bun:test";
import { type ContainerWish, containerSpec, restartPolicies } from "../../../src/commands/container-spec.ts";

const plain: ContainerWish = { command: null, env: [], labels: [], ports: [], volumes: [], restartPolicy: "NO", network: null };

describe("a container in Docker's words (H12)", () => {
	test("all of it", () => {
		const spec = containerSpec({
			command: ["redis-server", "--save", ""],
			env: [{ key: "A", value: "1=2" }],
			labels: [{ key: "team", value: "x" }],
			ports: [
				{ container: 80, host: 8_080, protocol: "TCP", address: "127.0.0.1" },
				{ container: 80, host: 8_081, protocol: "TCP", address: null },
				{ container: 53, host: null, protocol: "UDP", address: null },
			],
			volumes: [
				{ source: "/srv/data", target: "/data", readOnly: true },
				{ source: "cache", target: "/cache", readOnly: false },
			],
			restartPolicy: "UNLESS_STOPPED",
			network: "backend",
		});
		expect(spec).toEqual({
			Cmd: ["redis-server", "--save", ""],
			Env: ["A=1=2"],
			Labels: { team: "x" },
			ExposedPorts: { "80/tcp": {}, "53/udp": {} },
			HostConfig: {
				PortBindings: { "80/tcp": [{ HostIp: "127.0.0.1", HostPort: "8080" }, { HostPort: "8081" }], "53/udp": [{ HostPort: "" }] },
				Mounts: [
					{ Type: "bind", Source: "/srv/data", Target: "/data", ReadOnly: true },
					{ Type: "volume", Source: "cache", Target: "/cache", ReadOnly: false },
				],
				RestartPolicy: { Name: "unless-stopped" },
				NetworkMode: "backend",
			},
		});
	});

	test("what is not said is left to Docker and the image", () => {
		const spec = containerSpec(plain);
		expect(Object.keys(spec)).not.toContain("Cmd");
		expect(Object.keys(Object(spec["HostConfig"]))).not.toContain("NetworkMode");
	});

	test("restart policies are called as Docker does", () => {
		const names = restartPolicies.map(
			(restartPolicy) => Object(containerSpec({ ...plain, restartPolicy })["HostConfig"]).RestartPolicy.Name,
		);
		expect(names).toEqual(["no", "on-failure", "unless-stopped", "always"]);
	});

	test.each(["./relative", "../up", "", "a b"])("a mount of %p is refused: it is neither a path nor a volume's name", (source) => {
		expect(() => containerSpec({ ...plain, volumes: [{ source, target: "/x", readOnly: false }] })).toThrow("absolute path");
	});
});
