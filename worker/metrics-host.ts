import { readFile, statfs } from "node:fs/promises";
import { within } from "../src/lib/within.ts";
import { parseBootTime, parseLoadavg, parseMeminfo, parseNetDev, parseUptime, type Traffic } from "./metrics-proc.ts";
import { gauge, type Metric } from "./metrics-text.ts";

/** Where the host is measured. */
export interface HostSource {
	/** The text of a file; undefined when it cannot be read. */
	read(path: string): Promise<string | undefined>;
	/** Size and free room of the file system that a directory lies on; undefined when that cannot be told. */
	room(path: string): Promise<Room | undefined>;
}

/** A file system's room, in bytes; `availableBytes` is what is left for users other than root. */
export interface Room {
	readonly sizeBytes: number;
	readonly availableBytes: number;
}

// A network share that does not answer must not hold up the page.
const roomDeadlineMs = 1_000;

/** This host. A file system that hangs is asked once, and not again before it has answered. */
export function systemHost(): HostSource {
	const asked = new Map<string, Promise<Room | undefined>>();
	return {
		read: (path) => readFile(path, "utf8").catch(() => undefined),
		async room(path) {
			const running = asked.get(path) ?? measure(path).finally(() => asked.delete(path));
			asked.set(path, running);
			return (await within(running, roomDeadlineMs)) ? running : undefined;
		},
	};
}

async function measure(path: string): Promise<Room | undefined> {
	try {
		const { bsize, blocks, bavail } = await statfs(path);
		return { sizeBytes: bsize * blocks, availableBytes: bsize * bavail };
	} catch {
		return undefined;
	}
}

/** The host's metrics; those that this platform does not tell are absent. Never rejects. */
export async function hostMetrics(source: HostSource, stateDir: string): Promise<readonly Metric[]> {
	const [loadavg, meminfo, uptime, stat, netDev] = await Promise.all(
		["/proc/loadavg", "/proc/meminfo", "/proc/uptime", "/proc/stat", "/proc/net/dev"].map(async (path) => (await source.read(path)) ?? ""),
	);
	const load = parseLoadavg(loadavg ?? "");
	const memory = parseMeminfo(meminfo ?? "");
	return [
		gauge("muster_host_load1", "Load average of the last minute", load?.[0]),
		gauge("muster_host_load5", "Load average of the last 5 minutes", load?.[1]),
		gauge("muster_host_load15", "Load average of the last 15 minutes", load?.[2]),
		gauge("muster_host_memory_total_bytes", "Memory of the host", memory.totalBytes),
		gauge("muster_host_memory_available_bytes", "Memory that programs can still have without swapping", memory.availableBytes),
		...(await roomMetrics(source, stateDir)),
		...trafficMetrics(parseNetDev(netDev ?? "")),
		gauge("muster_host_uptime_seconds", "Seconds since the host started", parseUptime(uptime ?? "")),
		gauge("muster_host_boot_time_seconds", "When the host started, in seconds since the epoch", parseBootTime(stat ?? "")),
	];
}

async function roomMetrics(source: HostSource, stateDir: string): Promise<readonly Metric[]> {
	const [root, state] = await Promise.all([source.room("/"), source.room(stateDir)]);
	const rows = Object.entries({ root, state }).flatMap(([directory, room]) =>
		room === undefined ? [] : [{ labels: { directory }, ...room }],
	);
	return [
		{
			name: "muster_host_disk_size_bytes",
			help: "Size of the file system that / (root) and the state directory (state) lie on",
			type: "gauge",
			samples: rows.map(({ labels, sizeBytes }) => ({ labels, value: sizeBytes })),
		},
		{
			name: "muster_host_disk_available_bytes",
			help: "Room left on it for users other than root",
			type: "gauge",
			samples: rows.map(({ labels, availableBytes }) => ({ labels, value: availableBytes })),
		},
	];
}

function trafficMetrics(interfaces: readonly Traffic[]): readonly Metric[] {
	return [
		{
			name: "muster_host_network_receive_bytes_total",
			help: "Bytes received by each network interface, those of containers left out",
			type: "counter",
			samples: interfaces.map(({ name, receivedBytes }) => ({ labels: { interface: name }, value: receivedBytes })),
		},
		{
			name: "muster_host_network_transmit_bytes_total",
			help: "Bytes sent by each network interface, those of containers left out",
			type: "counter",
			samples: interfaces.map(({ name, transmittedBytes }) => ({ labels: { interface: name }, value: transmittedBytes })),
		},
	];
}
