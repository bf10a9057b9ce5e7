import type { Clock } from "../src/lib/clock.ts";
import type { Log } from "../src/lib/log.ts";
import type { Random } from "../src/lib/random.ts";
import { Commands } from "./commands.ts";
import { openJournal } from "./commands-journal.ts";
import type { Disk } from "./disk.ts";
import { type DockerState, docker } from "./docker.ts";
import { findDocker } from "./docker-address.ts";
import { dockerStats } from "./docker-stats.ts";
import { watchDocker } from "./docker-watch.ts";
import { openFuseRecord } from "./fuse-record.ts";
import type { HostWork } from "./loop-port.ts";
import { CommandCounts, dockerMetrics } from "./metrics-docker.ts";
import type { Metric } from "./metrics-text.ts";
import type { Timers } from "./timers.ts";
import { Uplink } from "./uplink.ts";

/** What the work on the host needs. */
export interface HostWorkDeps {
	readonly clock: Clock;
	readonly random: Random;
	readonly timers: Timers;
	readonly log: Log;
	readonly disk: Disk;
}

/** The work on the host, and what the metrics page says of it. */
export interface WorkOnHost extends HostWork {
	metrics(): readonly Metric[];
	readonly docker: DockerState;
}

/**
 * Begins to follow the host's Docker Engine, and does the server's commands over whatever connection there is. Throws `Fatal` 74 when the journal or
 * the fuse's record in the state directory cannot be read. A host without Docker does all the same but what needs one.
 */
export function workOnHost(
	deps: HostWorkDeps,
	dockerSocket: string | undefined,
	dockerHost: string | undefined,
	stateDir: string,
): WorkOnHost {
	const journal = openJournal(deps.disk, stateDir);
	const fuse = openFuseRecord(deps.disk, stateDir);
	const host = docker(findDocker(dockerSocket, dockerHost));
	const uplink = new Uplink(deps.timers);
	const counts = new CommandCounts();
	const commands = new Commands({ ...deps, docker: host, uplink, journal, fuse, counted: (kind, end) => counts.count(kind, end) });
	const watch = watchDocker({ ...deps, docker: host, uplink });
	const stats = dockerStats({ docker: host, uplink, running: () => watch.running() });
	return {
		up(socket) {
			uplink.up(socket);
			commands.opened(socket);
			watch.opened();
		},
		down() {
			uplink.down();
			commands.closed();
		},
		beaten: () => void stats.sample(),
		stop() {
			commands.stop();
			watch.stop();
			stats.stop();
		},
		metrics: () => dockerMetrics(host, watch, uplink, counts),
		get docker() {
			return host.state;
		},
	};
}
