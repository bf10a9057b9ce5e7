import { isIP } from "node:net";
import type { StackService } from "../engine/stack-model.ts";
import { type At, choice, has, items, readMap, shown, text, whole, wrong } from "./compose-at.ts";

type Port = StackService["ports"][number];

const protocols = ["tcp", "udp", "sctp"] as const;
/** A file with more is somebody's mistake: each is a process of Docker's. */
const rangeMax = 1_024;
/** All that a service's lines come to: a short file can name millions. */
const portsMax = 1_024;

/** `ports`, short and long. Ranges of the same length are paired; a range for one port leaves Docker the choice. */
export function readPorts(at: At): Port[] {
	return bounded(at, (item) => (item.value instanceof Map ? longPort(item) : shortPorts(item)));
}

/** `expose`: `80`, `80/udp`, `3000-3005`; as Docker's keys. */
export function readExpose(at: At): string[] {
	return bounded(at, (item) => {
		const written = text(item) ?? "";
		const [, range = "", protocol = "tcp"] = /^([\d-]+)(?:\/(tcp|udp|sctp))?$/.exec(written) ?? [];
		const ports = portRange(range);
		if (ports === undefined) {
			wrong(item, `is ${shown(written)}, and has to be a port such as 80 or 80/udp`);
			return [];
		}
		return ports.map((port) => `${port}/${protocol}`);
	});
}

/** What the items come to, read no further than the most a service may have. */
function bounded<T>(at: At, read: (item: At) => readonly T[]): T[] {
	const found: T[] = [];
	for (const item of items(at)) {
		found.push(...read(item));
		if (found.length > portsMax) {
			wrong(at, `comes to more than ${portsMax} ports: publish fewer, or use network_mode host`);
			break;
		}
	}
	return found;
}

function longPort(at: At): Port[] {
	let target: number | undefined;
	const port = { published: null as string | null, hostIp: "", protocol: "tcp" as Port["protocol"] };
	readMap(
		at,
		{
			target: (it) => {
				target = whole(it, 1, 65_535);
			},
			published: (it) => {
				const written = text(it) ?? "";
				if (portRange(written) === undefined) wrong(it, `is ${shown(written)}, and has to be a port or a range such as 8000-8010`);
				else port.published = written;
			},
			host_ip: (it) => {
				port.hostIp = text(it) ?? "";
			},
			protocol: (it) => {
				port.protocol = choice(it, protocols) ?? "tcp";
			},
			// Both are what a host without Swarm does.
			mode: (it) => void choice(it, ["host", "ingress"]),
			name: (it) => void text(it),
			app_protocol: (it) => void text(it),
		},
		{},
	);
	if (target === undefined) {
		if (!has(at, "target")) wrong(at, "has no target: give the container's port");
		return [];
	}
	return [{ target, ...port }];
}

function shortPorts(at: At): Port[] {
	const written = text(at);
	if (written === undefined) return [];
	const [, all = "", protocol = "tcp"] = /^(.*?)(?:\/(tcp|udp|sctp))?$/s.exec(written) ?? [];
	const [rest, range] = lastCut(all);
	const [hostIp, published] = rest === undefined ? ["", ""] : /^[\d-]*$/.test(rest) ? ["", rest] : lastCut(rest);
	const targets = portRange(range);
	const sources = published === "" ? [] : portRange(published);
	const address = hostIp?.replace(/^\[(.*)\]$/, "$1");
	if (targets === undefined || sources === undefined || address === undefined || (address !== "" && isIP(address) === 0))
		return wrong(at, `is ${shown(written)}, and has to be a port such as "8080:80", "127.0.0.1:8080:80" or "53:53/udp"`) ?? [];
	const common = { hostIp: address, protocol: protocols.find((it) => it === protocol) ?? "tcp" };
	if (sources.length === 0) return targets.map((target) => ({ target, published: null, ...common }));
	if (targets.length === 1 && targets[0] !== undefined) return [{ target: targets[0], published, ...common }];
	if (sources.length !== targets.length)
		return wrong(at, `is ${shown(written)}: its ranges have ${sources.length} and ${targets.length} ports, give both as many`) ?? [];
	return targets.map((target, index) => ({ target, published: String(sources[index]), ...common }));
}

/** A text before and after its last colon; without one there is nothing before. */
function lastCut(written: string): readonly [string | undefined, string] {
	const cut = written.lastIndexOf(":");
	return cut < 0 ? [undefined, written] : [written.slice(0, cut), written.slice(cut + 1)];
}

function portRange(range: string): number[] | undefined {
	const [, first = "", last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(range) ?? [];
	const [from, to] = [Number(first), Number(last)];
	if (first === "" || from < 1 || to > 65_535 || to < from || to - from >= rangeMax) return undefined;
	return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}
