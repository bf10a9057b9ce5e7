/** Finds out what a host is and what runs its worker; changes nothing there. */
import * as v from "valibot";
import { type ContainerView, containerSchema } from "./container.ts";
import { type Container, type Found, formerName, type Unit } from "./decide.ts";
import { type Remote, ScriptError } from "./ssh.ts";

/** What was found, and what the ways of deploying need beside. */
export interface Probed {
	readonly found: Found;
	readonly container: ContainerView | undefined;
	/** The worker's id as the unit's or the container's worker keeps it. */
	readonly workerIds: { readonly systemd: string | undefined; readonly "docker-image": string | undefined };
	/** As who the rest is to be done. */
	readonly remote: Remote;
}

const say = `say() { printf 'muster:%s=%s\\n' "$1" "$2"; }\n`;

const whoScript = `${say}
say uid "$(id -u)"
say system "$(uname -s)"
say machine "$(uname -m)"
[ "$(id -u)" = 0 ] || ! sudo -n sh -c : > /dev/null 2>&1 || say sudo yes
# A musl system may have a loader by glibc's name (gcompat), and a glibc system one of musl's: ldd is the system's own.
said=$(ldd --version 2>&1 || :)
has() { for one in "$@"; do [ ! -e "$one" ] || return 0; done; return 1; }
case $said in
	*musl*) say musl yes ;;
	*GLIBC* | *GNU* | *glibc*) ;;
	*) has /lib/ld-linux-* /lib64/ld-linux-* || ! has /lib/ld-musl-* || say musl yes ;;
esac
`;

const runsScript = (name: string) => `${say}
state=/var/lib/muster
if command -v systemctl > /dev/null 2>&1; then
	say enabled "$(systemctl is-enabled ${name} 2> /dev/null | head -n 1)"
	say active "$(systemctl is-active ${name} 2> /dev/null | head -n 1)"
	say starts "$(systemctl show -p ExecStart ${name} 2> /dev/null | head -n 1)"
	pid=$(systemctl show -p MainPID ${name} 2> /dev/null | sed -n 's/^MainPID=//p')
	of() { tr '\\0' '\\n' 2> /dev/null < "/proc/$pid/environ" | sed -n "s/^$1=//p" | head -n 1; }
	id='' dir=''
	case $pid in '' | 0) ;; *) id=$(of MUSTER_WORKER_ID) dir=$(of MUSTER_STATE_DIR) ;; esac
	[ -n "$id" ] || id=$(head -n 1 "\${dir:-$state}/.MUSTER_WORKER_ID" 2> /dev/null || :)
	say unit_worker "$id"
fi
if command -v docker > /dev/null 2>&1; then
	! docker container inspect ${formerName(name)} > /dev/null 2>&1 || say former yes
	if said=$(docker container inspect -f '{{json .}}' ${name} 2> /dev/null); then
		say container "$said"
		say architecture "$(docker image inspect -f '{{.Architecture}}' "$(docker container inspect -f '{{.Image}}' ${name})" 2> /dev/null)"
		has() { for one in "$@"; do ! docker cp -L "${name}:$one" - > /dev/null 2>&1 || return 0; done; return 1; }
		has /lib64/ld-linux-x86-64.so.2 /lib/ld-linux-aarch64.so.1 /lib/x86_64-linux-gnu/libc.so.6 ||
			! has /lib/ld-musl-x86_64.so.1 /lib/ld-musl-aarch64.so.1 || say container_musl yes
		of() { docker container inspect -f '{{range .Config.Env}}{{println .}}{{end}}' ${name} | sed -n "s/^$1=//p" | head -n 1; }
		id=$(of MUSTER_WORKER_ID) dir=$(of MUSTER_STATE_DIR)
		[ -n "$id" ] || id=$(docker cp "${name}:\${dir:-$state}/.MUSTER_WORKER_ID" - 2> /dev/null | tar -xOf - 2> /dev/null | head -n 1)
		say container_worker "$id"
	else
		said=$(docker container inspect ${name} 2>&1 > /dev/null | head -n 1)
		case $said in
			*[Pp]'ermission denied'*) say docker_trouble "$said" ;;
			*'o such '* | *'onnect to the '*) ;;
			*) say docker_trouble "$said" ;;
		esac
	fi
fi
`;

/** Looks at the host as the user that logs in, and with root's rights where sudo gives them. Throws `SshError` when it cannot be reached. */
export async function probe(login: Remote, name: string): Promise<Probed> {
	const who = answersOf(await login.run("find out what the host is", whoScript));
	const rights = who.get("uid") === "0" ? "root" : who.get("sudo") === "yes" ? "sudo" : "user";
	const remote = rights === "sudo" ? login.asRoot() : login;
	const runs = answersOf(await remote.run("find out what runs the worker", runsScript(name)));
	const text = runs.get("container");
	const container = text === undefined ? undefined : v.parse(containerSchema, JSON.parse(text));
	return {
		found: {
			platform: { system: who.get("system") ?? "", machine: who.get("machine") ?? "", musl: who.get("musl") === "yes" },
			rights,
			unit: unitOf(runs),
			container: container === undefined ? runs.get("docker_trouble") : containerOf(container, runs),
			former: runs.get("former") === "yes",
		},
		container,
		workerIds: { systemd: runs.get("unit_worker") || undefined, "docker-image": runs.get("container_worker") || undefined },
		remote,
	};
}

/** The lines `muster:key=value` of what a script said; whatever else the host says is passed over. */
export function answersOf(said: string): ReadonlyMap<string, string> {
	return new Map([...said.matchAll(/^muster:(\w+)=(.*)$/gm)].map(([, key = "", value = ""]) => [key, value.replace(/\r$/, "")]));
}

/** One answer of a script; throws when it did not give it. */
export function answerOf(said: string, key: string, what: string): string {
	const value = answersOf(said).get(key);
	if (value === undefined) throw new ScriptError(what, 0, `the host answered ${JSON.stringify(said.slice(0, 200))}`);
	return value;
}

/** What systemctl's answers say of the unit; undefined when there is none. */
export function unitOf(answers: ReadonlyMap<string, string>): Unit | undefined {
	const [enabled = "", active = ""] = [answers.get("enabled"), answers.get("active")];
	const on = /^(active|activating|reloading|deactivating|failed)$/.test(active) || /^(enabled|enabled-runtime|linked|alias)$/.test(enabled);
	if (!on && (enabled === "" || enabled === "not-found")) return undefined;
	return { on, program: /^ExecStart=\{ path=(.*?) ; argv\[\]=/.exec(answers.get("starts") ?? "")?.[1] };
}

function containerOf(view: ContainerView, answers: ReadonlyMap<string, string>): Container {
	return {
		machine: answers.get("architecture") ?? "",
		musl: answers.get("container_musl") === "yes",
		program: view.Path,
		removedOnStop: view.HostConfig.AutoRemove === true,
	};
}
