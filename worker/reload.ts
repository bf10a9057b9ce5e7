import type { Log } from "../src/lib/log.ts";
import type { Config, ParsedConfig } from "./config.ts";
import { reasonOf } from "./fatal.ts";
import { type SettingName, settingNames, settings } from "./settings.ts";
import type { Found } from "./values.ts";

/** A configuration that a worker runs with. */
export type Running = Pick<ParsedConfig, "config" | "found">;

/** What a reading anew comes to. */
export interface Reload {
	/** What the worker runs with from now on. */
	readonly next: Running;
	/** The variables of the settings that it takes over. */
	readonly taken: readonly string[];
	/** Those that a running worker cannot take over, each with what to do. */
	readonly left: readonly { readonly setting: string; readonly why: string }[];
}

const restart = "restart the worker: it is read at the start only";
const enrolled = "it is told when enrolling: an enrolled worker keeps what it enrolled with, any other takes it over when it is restarted";
const enrolling = "it is used to enroll only: an enrolled worker does not need it, any other takes it over when it is restarted";

/** What to do about a change that a running worker cannot take over; undefined for those it can. */
const remedies: Readonly<Record<SettingName, string | undefined>> = {
	serverAddr: undefined,
	logFormat: undefined,
	logLevel: undefined,
	url: enrolling,
	enrollToken: enrolling,
	siteCode: enrolling,
	autoEnrollmentKey: enrolling,
	tenant: enrolling,
	sharedSecret: enrolling,
	workerName: enrolled,
	nodeName: enrolled,
	labels: enrolled,
	workerId: restart,
	workerApiKey: restart,
	stateDir: restart,
	machineIdFile: restart,
	meshMode: restart,
	meshStateDir: restart,
	meshSocket: restart,
	tailscale: restart,
	tailscaled: restart,
	metricsPort: restart,
	dockerSocket: restart,
};

/** Compares the configuration that a worker runs with to a new one that has no problems. Pure. */
export function compareConfigs(running: Running, after: Running): Reload {
	const found = new Map(running.found);
	const taken: string[] = [];
	const left: { readonly setting: string; readonly why: string }[] = [];
	for (const name of settingNames) {
		const [was, is] = [textOf(name, running.found), textOf(name, after.found)];
		if (was === is) continue;
		const why = name === "url" && running.config.apiKey !== undefined ? undefined : remedies[name];
		if (why === undefined) {
			taken.push(settings[name].variable);
			const value = after.found.get(name);
			if (value === undefined) found.delete(name);
			else found.set(name, value);
		} else if (is !== undefined || why !== enrolling) {
			// A key taken away after the first success is no change that anyone waits for (B7).
			left.push({ setting: settings[name].variable, why });
		}
	}
	const { serverAddr, logFormat, logLevel, url } = after.config;
	const config: Config = Object.freeze({
		...running.config,
		serverAddr,
		logFormat,
		logLevel,
		...(running.config.apiKey === undefined ? {} : { url }),
	});
	return { next: { config, found }, taken, left };
}

/**
 * What SIGHUP does: reads the configuration again and hands what can change to `apply`, which takes it or throws. What cannot change is told with its
 * remedy; of a wrong configuration every problem is told, and the former stays.
 */
export function reloader(read: () => ParsedConfig, apply: (config: Config) => void, log: Log, first: Running): () => void {
	let running = first;
	return () => {
		const parsed = read();
		const refuse = (why: string) => log.error("config.refused", { why: `${why}; the worker goes on with its former configuration` });
		if (parsed.problems.length > 0) return parsed.problems.forEach(refuse);
		const { next, taken, left } = compareConfigs(running, parsed);
		try {
			apply(next.config);
		} catch (error) {
			return refuse(reasonOf(error));
		}
		running = next;
		log.info("config.read", { file: parsed.file ?? null, taken });
		for (const { setting, why } of left) log.warn("config.not_taken", { setting, why });
	};
}

function textOf(name: SettingName, found: ReadonlyMap<SettingName, Found>): string | undefined {
	return found.get(name)?.text ?? settings[name].fallback;
}
