/** Readers of the texts under /proc. Pure; whatever a text does not say is left out, none of them throws. */

/** Load averages of 1, 5 and 15 minutes: /proc/loadavg. */
export function parseLoadavg(text: string): readonly [number, number, number] | undefined {
	const [one, five, fifteen] = text.trim().split(/\s+/).slice(0, 3).map(amount);
	return one === undefined || five === undefined || fifteen === undefined ? undefined : [one, five, fifteen];
}

/** Memory in bytes: /proc/meminfo. `availableBytes` is absent on kernels before 3.14. */
export function parseMeminfo(text: string): { readonly totalBytes?: number; readonly availableBytes?: number } {
	const kibibytes = (name: string) => amount(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(text)?.[1]);
	const [total, available] = [kibibytes("MemTotal"), kibibytes("MemAvailable")];
	return {
		...(total === undefined ? {} : { totalBytes: total * 1_024 }),
		...(available === undefined ? {} : { availableBytes: available * 1_024 }),
	};
}

/** Seconds since the host started: /proc/uptime. */
export function parseUptime(text: string): number | undefined {
	return amount(text.trim().split(/\s+/)[0]);
}

/** When the host started, in seconds since the epoch: the line `btime` of /proc/stat. */
export function parseBootTime(text: string): number | undefined {
	return amount(/^btime (\d+)$/m.exec(text)?.[1]);
}

/** What a network interface has carried. */
export interface Traffic {
	readonly name: string;
	readonly receivedBytes: number;
	readonly transmittedBytes: number;
}

/** A host with more interfaces than this has them for its guests. */
const interfacesMax = 32;
/** The host's ends of containers' cables: they come and go with every container, and each would leave a series behind. */
const passing = /^(veth|cali|cilium_|lxc|tap|vnet)/;

/** What each interface has carried since it came up: /proc/net/dev; the first 32 in the kernel's order, without those of containers. */
export function parseNetDev(text: string): readonly Traffic[] {
	return text
		.split("\n")
		.flatMap((line): readonly Traffic[] => {
			// The name may touch the first number, and may itself hold a colon (an alias); the numbers hold none.
			const colon = line.lastIndexOf(":");
			const name = line.slice(0, Math.max(0, colon)).trim();
			const fields = line
				.slice(colon + 1)
				.trim()
				.split(/\s+/);
			const [receivedBytes, transmittedBytes] = [amount(fields[0]), amount(fields[8])];
			if (name === "" || passing.test(name) || receivedBytes === undefined || transmittedBytes === undefined) return [];
			return [{ name, receivedBytes, transmittedBytes }];
		})
		.slice(0, interfacesMax);
}

function amount(text: string | undefined): number | undefined {
	return text !== undefined && /^\d+(\.\d+)?$/.test(text) ? Number(text) : undefined;
}
