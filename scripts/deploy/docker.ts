/** A worker that Docker runs: its image gets the new binary, its container is made anew on that image with the same configuration. */
import * as v from "valibot";
import { shellQuoted } from "../../src/hosts/snippet.ts";
import { type ContainerView, imageNames, recreation } from "./container.ts";
import { formerName } from "./decide.ts";
import { answerOf, answersOf } from "./probe.ts";
import { type Remote, ScriptError } from "./ssh.ts";
import { type Build, receiveScript, restartsMax, shellTools, type Way } from "./way.ts";

/** Names the image that ours are made from, so that the tenth deployment does not lie on nine others. */
const baseLabel = "muster.deploy.base";
const createdSchema = v.object({ Id: v.string() });

/** The way for the container `name`, `binary` being the worker's place in it. */
export function overDocker(remote: Remote, name: string, view: ContainerView, binary: string): Way {
	const nextName = `${name}-next`;
	const former = formerName(name);
	const names = imageNames(view.Config.Image);
	let next = "";
	// Image ids: what the two names meant before, and the image that the new one is made from.
	const was = { current: "", previous: "", base: "" };
	return {
		async stage(build: Build) {
			// A committed container takes over its image's configuration and no more: nothing of the worker's environment gets into the image.
			const script = `${shellTools}room=$(mktemp -d) staged=$room/muster-worker scratch=
trap 'rm -rf "$room"; [ -z "$scratch" ] || docker rm -fv "$scratch" > /dev/null' EXIT
trap 'exit 1' HUP INT TERM
${receiveScript(build)}image=${shellQuoted(view.Image)}
base=$(docker image inspect -f '{{index .Config.Labels "${baseLabel}"}}' "$image")
docker image inspect "$base" > /dev/null 2>&1 || base=$image
scratch=$(docker create "$base")
docker cp "$staged" "$scratch:"${shellQuoted(binary)} > /dev/null
next=$(docker commit --change "LABEL ${baseLabel}=$base" "$scratch")
version=$(docker run --rm --network none --entrypoint ${shellQuoted(binary)} "$next" version) || {
	docker rmi "$next" > /dev/null
	fail "it does not run in this container's image"
}
id() { docker image inspect -f '{{.Id}}' "$1" 2> /dev/null || :; }
${names === undefined ? "" : `say current "$(id ${shellQuoted(names.current)})"\nsay previous "$(id ${shellQuoted(names.previous)})"`}
say base "$(id "$base")"
say next "$next"
say version "$version"
`;
			const what = `make an image with the worker in ${binary}`;
			const said = await remote.run(what, script, { file: build.file });
			next = answerOf(said, "next", what);
			for (const key of ["current", "previous", "base"] as const) was[key] = answersOf(said).get(key) ?? "";
			return answerOf(said, "version", what);
		},

		async swap() {
			if (names !== undefined) {
				const tags = [tag(view.Image, names.previous), tag(next, names.current)];
				await remote.run("name the images", `set -eu\n${tags.join("\n")}`);
			}
			const { body, networks } = recreation(view, names?.current ?? next);
			// The container is made while the former still runs: what Docker finds wrong with it costs no downtime.
			await remote.run("remove what a former deployment left", `docker rm -f ${nextName} > /dev/null 2>&1 || :`);
			await create(remote, nextName, body);
			const joins = networks.map((flags) => `docker network connect ${flags.map(shellQuoted).join(" ")} ${nextName}\n`).join("");
			const script = `set -eu
${joins}docker stop ${name} > /dev/null
docker rename ${name} ${former}
docker rename ${nextName} ${name}
docker start ${name} > /dev/null
`;
			await remote.run(`start the new container ${name}`, script);
		},

		async trouble() {
			const script = `docker container inspect -f 'muster:state={{.State.Status}}{{println}}muster:restarts={{.RestartCount}}' ${name}`;
			const answers = answersOf(await remote.run("look at the container", script));
			const state = answers.get("state") ?? "";
			const restarts = Number(answers.get("restarts") ?? 0);
			if (!["exited", "dead"].includes(state) && restarts < restartsMax) return undefined;
			const words = await remote.run("read the container's log", `docker logs --tail 3 ${name} 2>&1 || :`);
			return `the container is ${state}${restarts > 0 ? `, restarted ${restarts} times` : ""}${words === "" ? "" : `; its last words: ${words.trim()}`}`;
		},

		async restore() {
			// Volumes stay with the former container: none is removed here.
			const script = `set -eu
if docker container inspect ${former} > /dev/null 2>&1; then
	docker rm -f ${name} > /dev/null 2>&1 || :
	docker rename ${former} ${name}
fi
docker start ${name} > /dev/null
docker rm -f ${nextName} > /dev/null 2>&1 || :
${names === undefined ? "" : [tag(was.current, names.current), tag(was.previous, names.previous)].join("\n")}
docker rmi ${shellQuoted(next)} > /dev/null 2>&1 || :
`;
			await remote.run(`put the former container back (it is called ${former} or ${name})`, script);
		},

		async settle() {
			// Without -v: the volumes are the new container's.
			await remote.run("remove the former container", `docker rm ${former} > /dev/null`);
			// The image before the former has lost its name; what somebody named otherwise, or ours are made from, stays.
			if (was.previous !== "" && ![view.Image, was.base].includes(was.previous)) {
				const old = shellQuoted(was.previous);
				const script = `[ "$(docker image inspect -f '{{len .RepoTags}}' ${old})" != 0 ] || docker rmi ${old} > /dev/null 2>&1 || :`;
				await remote.run("remove the image before the former", script);
			}
			return names === undefined ? `the former image is ${view.Image}` : `the former image is kept as ${names.previous}`;
		},

		async discard() {
			await remote.run("remove the image", `docker rmi ${shellQuoted(next)} > /dev/null`);
		},
	};
}

/** Gives an image a name; or takes the name away, when it had no image. */
function tag(id: string, name: string): string {
	return id === "" ? `docker rmi ${shellQuoted(name)} > /dev/null 2>&1 || :` : `docker tag ${shellQuoted(id)} ${shellQuoted(name)}`;
}

/**
 * `POST /containers/create`, since no command of docker's takes a whole configuration: over `docker system dial-stdio`, which is what docker itself uses
 * over ssh. In HTTP/1.0 the answer ends with the connection.
 */
async function create(remote: Remote, name: string, body: object): Promise<void> {
	const json = JSON.stringify(body);
	const head = [
		`POST /containers/create?name=${name} HTTP/1.0`,
		"Host: docker",
		"Content-Type: application/json",
		`Content-Length: ${Buffer.byteLength(json)}`,
	];
	const what = `make the container ${name}`;
	const answer = await remote.run(what, "exec docker system dial-stdio", { text: `${head.join("\r\n")}\r\n\r\n${json}` });
	const [, status = "", text = ""] = /^HTTP\/1\.\d (\d+)[\s\S]*?\r\n\r\n([\s\S]*)$/.exec(answer) ?? [];
	if (status !== "201" || !v.is(createdSchema, JSON.parse(text || "null"))) throw new ScriptError(what, 1, text || answer);
}
