import { conditions, type StackService } from "../engine/stack-model.ts";
import { type At, choice, entries, items, readMap, text, texts, truth, whole, wrong } from "./compose-at.ts";
import { nanoseconds } from "./compose-units.ts";

/** `networks` of a service: a list of keys, or a map with aliases and an address. */
export function readServiceNetworks(at: At): StackService["networks"] {
	const named = (Array.isArray(at.value) ? items(at).map((it) => [text(it) ?? "", undefined] as const) : entries(at)).toSorted(
		([left], [right]) => (left < right ? -1 : 1),
	);
	return named.map(([key, its]) => {
		const network = { key, aliases: [] as string[], ipv4Address: null as string | null };
		if (its !== undefined)
			readMap(its, {
				aliases: (it) => {
					network.aliases = texts(it);
				},
				ipv4_address: (it) => {
					network.ipv4Address = text(it) ?? null;
				},
			});
		return network;
	});
}

/** `depends_on`: a list of services, or a map with conditions. */
export function readDependsOn(at: At): StackService["dependsOn"] {
	if (Array.isArray(at.value))
		return texts(at).map((service) => ({ service, condition: "service_started" as const, required: true, restart: false }));
	return entries(at).map(([service, its]) => {
		const found = {
			service,
			condition: "service_started" as StackService["dependsOn"][number]["condition"],
			required: true,
			restart: false,
		};
		readMap(
			its,
			{
				condition: (it) => {
					found.condition = choice(it, conditions) ?? "service_started";
				},
				required: (it) => {
					if (truth(it) === false) wrong(it, "is not supported: leave out a service that is not required");
				},
			},
			{ restart: "a service is not restarted with another one, take it out" },
		);
		return found;
	});
}

/** `healthcheck`; `disable: true` and `test: NONE` switch off the image's. */
export function readHealth(at: At): NonNullable<StackService["healthcheck"]> {
	const health = { test: [] as string[], interval: 0, timeout: 0, startPeriod: 0, retries: 0 };
	const span = (set: (value: number) => void) => (it: At) => set(nanoseconds(it) ?? 0);
	let disabled = false;
	readMap(
		at,
		{
			test: (it) => {
				health.test = testOf(it);
			},
			interval: span((value) => {
				health.interval = value;
			}),
			timeout: span((value) => {
				health.timeout = value;
			}),
			start_period: span((value) => {
				health.startPeriod = value;
			}),
			retries: (it) => {
				health.retries = whole(it, 0, 10_000) ?? 0;
			},
			disable: (it) => {
				disabled = truth(it) ?? false;
			},
		},
		{ start_interval: "engines before 25 do not know it, take it out" },
	);
	return disabled ? { test: ["NONE"], interval: 0, timeout: 0, startPeriod: 0, retries: 0 } : health;
}

function testOf(at: At): string[] {
	if (!Array.isArray(at.value)) {
		const line = text(at);
		return line === undefined ? [] : ["CMD-SHELL", line];
	}
	const test = texts(at);
	if (!["CMD", "CMD-SHELL", "NONE"].includes(test[0] ?? "")) wrong(at, "has to begin with CMD, CMD-SHELL or NONE");
	else if (test[0] !== "NONE" && test.length < 2) wrong(at, "has no command: give one after its first word");
	else if (test[0] === "CMD-SHELL" && test.length > 2) wrong(at, "has several words after CMD-SHELL: write them as one");
	return test;
}
