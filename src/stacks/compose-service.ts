import { replicasMax, type StackService } from "../engine/stack-model.ts";
import { type At, choice, has, pairs, type Readers, readMap, shown, text, textOrTexts, texts, truth, whole, wrong } from "./compose-at.ts";
import { readDependsOn, readHealth, readServiceNetworks } from "./compose-links.ts";
import { readMounts } from "./compose-mounts.ts";
import { readExpose, readPorts } from "./compose-ports.ts";
import { seconds, words } from "./compose-units.ts";

type Draft = { -readonly [K in keyof StackService]: StackService[K] };

/** What people write that is not done here, and what to do in its place. */
const instead: Readonly<Record<string, string>> = {
	build: "build the image, push it to a registry the host reaches, and name it as image",
	env_file: "there are no files here, write its lines under environment",
	extends: "write the service out",
	profiles: "deploy a file with the services you want",
	configs: "put the content into the image or a volume",
	secrets: "put the content into a volume, or give it in environment",
	links: "services on a common network find each other by name, take it out",
	external_links: "put both on an external network",
	volumes_from: "name the volumes in both services",
	platform: "the host's own is used, take it out",
	develop: "it is for building on the spot, take it out",
};

/** One service; on the project's own network when it names none. `variables` are the values of names in `environment` that have none. */
export function readService(at: At, name: string, variables: ReadonlyMap<string, string>): StackService {
	const draft: Draft = { ...plainService, name };
	const scale = { own: undefined as number | undefined, deploy: undefined as number | undefined };
	if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,100}$/.test(name)) wrong(at, "has a name that Docker does not take: use letters, digits, _, . and -");
	readMap(
		at,
		{ ...basics(draft), ...links(draft), ...extras(draft), ...numbers(draft, scale), environment: environment(draft, variables) },
		instead,
	);
	if (!has(at, "image") && !has(at, "build")) wrong(at, "has no image: name the one its containers are made from");
	if (scale.own !== undefined && scale.deploy !== undefined && scale.own !== scale.deploy)
		wrong(at, `has scale ${scale.own} and deploy.replicas ${scale.deploy}: give one of them`);
	draft.replicas = scale.deploy ?? scale.own ?? 1;
	if (draft.networkMode !== null && draft.networks.length > 0) wrong(at, "has both networks and network_mode: give one of them");
	if (draft.networkMode === "host" && draft.ports.length > 0)
		wrong(at, "has ports beside network_mode host, where all ports are the host's: take them out");
	if (draft.networkMode === null && draft.networks.length === 0) draft.networks = [{ key: "default", aliases: [], ipv4Address: null }];
	return draft;
}

/** A service of which nothing was said, not even its image. */
export const plainService = {
	image: "",
	pull: "missing",
	replicas: 1,
	containerName: null,
	command: null,
	entrypoint: null,
	environment: {},
	ports: [],
	expose: [],
	mounts: [],
	networks: [],
	networkMode: null,
	restart: { name: "no", retries: 0 },
	dependsOn: [],
	healthcheck: null,
	labels: {},
	user: null,
	workingDir: null,
	hostname: null,
	extraHosts: [],
	stopSignal: null,
	stopGraceSeconds: null,
	readOnly: false,
	privileged: false,
	init: null,
	tty: false,
	stdinOpen: false,
	capAdd: [],
	capDrop: [],
	tmpfs: {},
} as const satisfies Omit<StackService, "name">;

function basics(draft: Draft): Readers {
	return {
		image: (at) => {
			draft.image = text(at) ?? "";
			if (!/^[\w][\w./:@-]{0,254}$/.test(draft.image)) wrong(at, `is ${shown(draft.image)}, and has to be an image such as nginx:1.27`);
		},
		pull_policy: (at) => {
			const policy = choice(at, ["missing", "if_not_present", "always", "never"]);
			draft.pull = policy === "always" || policy === "never" ? policy : "missing";
		},
		container_name: (at) => {
			const name = text(at) ?? "";
			if (/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}$/.test(name)) draft.containerName = name;
			else wrong(at, `is ${shown(name)}, and has to be letters, digits, _, . and -`);
		},
		command: (at) => {
			draft.command = line(at) ?? null;
		},
		entrypoint: (at) => {
			draft.entrypoint = line(at) ?? null;
		},
		user: (at) => {
			draft.user = text(at) ?? null;
		},
		working_dir: (at) => {
			draft.workingDir = text(at) ?? null;
		},
		hostname: (at) => {
			draft.hostname = text(at) ?? null;
		},
		restart: (at) => {
			draft.restart = restartOf(at);
		},
		labels: (at) => {
			draft.labels = pairs(at, () => "");
			const reserved = Object.keys(draft.labels).find((key) => key.startsWith("com.docker.compose."));
			if (reserved !== undefined) wrong(at, `has ${shown(reserved)}, which is set for you: take it out`);
		},
	};
}

function links(draft: Draft): Readers {
	return {
		ports: (at) => {
			draft.ports = readPorts(at);
		},
		expose: (at) => {
			draft.expose = readExpose(at);
		},
		volumes: (at) => {
			draft.mounts = readMounts(at);
		},
		networks: (at) => {
			draft.networks = readServiceNetworks(at);
		},
		network_mode: (at) => {
			draft.networkMode = choice(at, ["host", "none", "bridge"]) ?? null;
		},
		depends_on: (at) => {
			draft.dependsOn = readDependsOn(at);
		},
		healthcheck: (at) => {
			draft.healthcheck = readHealth(at);
		},
	};
}

function extras(draft: Draft): Readers {
	return {
		extra_hosts: (at) => {
			draft.extraHosts = Array.isArray(at.value)
				? texts(at).map((it) => it.replace("=", ":"))
				: Object.entries(pairs(at, (where) => wrong(where, "has no address: give one"))).map(([name, address]) => `${name}:${address}`);
		},
		tmpfs: (at) => {
			const mounts = textOrTexts(at).map((it): [string, string] => {
				const cut = it.indexOf(":");
				return cut < 0 ? [it, ""] : [it.slice(0, cut), it.slice(cut + 1)];
			});
			draft.tmpfs = Object.fromEntries(mounts);
		},
		cap_add: (at) => {
			draft.capAdd = texts(at);
		},
		cap_drop: (at) => {
			draft.capDrop = texts(at);
		},
		stop_signal: (at) => {
			draft.stopSignal = text(at) ?? null;
		},
		read_only: (at) => {
			draft.readOnly = truth(at) ?? false;
		},
		privileged: (at) => {
			draft.privileged = truth(at) ?? false;
		},
		init: (at) => {
			draft.init = truth(at) ?? null;
		},
		tty: (at) => {
			draft.tty = truth(at) ?? false;
		},
		stdin_open: (at) => {
			draft.stdinOpen = truth(at) ?? false;
		},
	};
}

function numbers(draft: Draft, scale: { own: number | undefined; deploy: number | undefined }): Readers {
	return {
		stop_grace_period: (at) => {
			draft.stopGraceSeconds = seconds(at) ?? null;
		},
		scale: (at) => {
			scale.own = whole(at, 0, replicasMax);
		},
		deploy: (at) =>
			readMap(
				at,
				{
					replicas: (it) => {
						scale.deploy = whole(it, 0, replicasMax);
					},
					mode: (it) => void choice(it, ["replicated"]),
				},
				{ restart_policy: "use restart of the service" },
			),
	};
}

/** A name without a value takes the variable's, as Compose takes it from its surroundings. */
function environment(draft: Draft, variables: ReadonlyMap<string, string>): (at: At) => void {
	return (at) => {
		draft.environment = pairs(
			at,
			(where, key) => variables.get(key) ?? wrong(where, `has no value for ${key}: write one, or give the variable in environment`),
		);
	};
}

/** A list as it is; a text in its words. */
function line(at: At): string[] | undefined {
	if (Array.isArray(at.value)) return texts(at);
	const written = text(at);
	return written === undefined ? undefined : words(at, written);
}

function restartOf(at: At): StackService["restart"] {
	const written = text(at) ?? "";
	const [, name = "", retries] = /^(no|always|unless-stopped|on-failure)(?::(\d{1,6}))?$/.exec(written) ?? [];
	if (name === "on-failure") return { name, retries: Number(retries ?? 0) };
	if (retries === undefined && (name === "no" || name === "always" || name === "unless-stopped")) return { name, retries: 0 };
	wrong(at, `is ${shown(written)}, and has to be "no", always, unless-stopped, on-failure or on-failure:3`);
	return { name: "no", retries: 0 };
}
