import type { StackNetwork, StackVolume } from "../engine/stack-model.ts";
import { type At, entries, items, pairs, readMap, shown, text, truth, wrong } from "./compose-at.ts";

const partName = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,200}$/;

/** The top-level `networks`. A network is called `<project>_<key>`, or as it says; an external one as its key, or as it says. */
export function readNetworks(at: At, project: string): StackNetwork[] {
	return entries(at).map(([key, its]) => {
		const part = common(its, key);
		const network = { attachable: false, internal: false, enableIpv6: false, subnets: [] as StackNetwork["subnets"] };
		readMap(its, {
			...part.readers,
			attachable: (it) => {
				network.attachable = truth(it) ?? false;
			},
			internal: (it) => {
				network.internal = truth(it) ?? false;
			},
			enable_ipv6: (it) => {
				network.enableIpv6 = truth(it) ?? false;
			},
			ipam: (it) =>
				readMap(it, {
					driver: (driver) => text(driver) === "default" || wrong(driver, "is not supported: leave it out for Docker's own"),
					config: (config) => {
						network.subnets = items(config).map(subnetOf);
					},
				}),
		});
		return { key, ...network, ...part.finish(its, project, key) };
	});
}

/** The top-level `volumes`, named as networks are. */
export function readVolumes(at: At, project: string): StackVolume[] {
	return entries(at).map(([key, its]) => {
		const part = common(its, key);
		readMap(its, part.readers);
		return { key, ...part.finish(its, project, key) };
	});
}

/** What networks and volumes have in common: readers, and what they have read. */
function common(at: At, key: string) {
	if (!partName.test(key)) wrong(at, "has a name that Docker does not take: use letters, digits, _, . and -");
	const part = { name: undefined as string | undefined, external: false, driver: null as string | null };
	const maps = { driverOptions: {} as Record<string, string>, labels: {} as Record<string, string> };
	const readers = {
		name: (it: At) => {
			const name = text(it) ?? "";
			if (partName.test(name)) part.name = name;
			else wrong(it, `is ${shown(name)}, and has to be letters, digits, _, . and -`);
		},
		external: (it: At) => {
			part.external = truth(it) ?? false;
		},
		driver: (it: At) => {
			part.driver = text(it) ?? null;
		},
		driver_opts: (it: At) => {
			maps.driverOptions = pairs(it, () => "");
		},
		labels: (it: At) => {
			maps.labels = pairs(it, () => "");
		},
	};
	const finish = (its: At, project: string, own: string) => {
		const others =
			its.value instanceof Map
				? [...its.value.keys()].filter((it: string) => !["name", "external"].includes(it) && !it.startsWith("x-"))
				: [];
		if (part.external && others.length > 0) wrong(its, `is external, and cannot have ${others.join(", ")}: take that out`);
		return { ...part, name: part.name ?? (part.external ? own : `${project}_${own}`), ...maps };
	};
	return { readers, finish };
}

function subnetOf(at: At): StackNetwork["subnets"][number] {
	const found = { subnet: null as string | null, gateway: null as string | null, ipRange: null as string | null };
	readMap(at, {
		subnet: (it) => {
			found.subnet = text(it) ?? null;
		},
		gateway: (it) => {
			found.gateway = text(it) ?? null;
		},
		ip_range: (it) => {
			found.ipRange = text(it) ?? null;
		},
	});
	return found;
}
