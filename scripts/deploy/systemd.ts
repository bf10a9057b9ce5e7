/** A worker that systemd runs: its binary is replaced, its unit restarted. */
import { shellQuoted } from "../../src/hosts/snippet.ts";
import { answerOf, answersOf } from "./probe.ts";
import type { Remote } from "./ssh.ts";
import { type Build, receiveScript, restartsMax, shellTools, type Way } from "./way.ts";

/** The way for the unit `name`, which starts `binary`. */
export function overSystemd(remote: Remote, name: string, binary: string): Way {
	// A link stays one: what it leads to is replaced.
	const target = `${shellTools}target=$(readlink -f -- ${shellQuoted(binary)})\n`;
	let staged = "";
	let sha256 = "";
	return {
		async stage(build: Build) {
			const script = `${target}umask 022
staged=$(mktemp "$(dirname -- "$target")/.muster-worker.XXXXXX") || fail "the binary's directory cannot be written"
trap 'rm -f "$staged"' EXIT HUP INT TERM
${receiveScript(build)}version=$("$staged" version) || fail "it does not run on this host"
trap - EXIT HUP INT TERM
say staged "$staged"
say version "$version"
`;
			const what = `copy the worker to ${binary}`;
			const said = await remote.run(what, script, { file: build.file });
			staged = answerOf(said, "staged", what);
			sha256 = build.sha256;
			return answerOf(said, "version", what);
		},

		async swap() {
			const staying = shellQuoted(staged);
			// The name leads to a whole binary at every moment: the former until the move, the new one from then on. The same one again leaves .previous alone.
			const script = `${target}if [ -e "$target" ] && [ "$(sha256 "$target")" != ${shellQuoted(sha256)} ]; then
	ln -f -- "$target" "$target.previous" 2> /dev/null || cp -pf -- "$target" "$target.previous"
	say kept yes
fi
mv -f -- ${staying} "$target"
systemctl reset-failed ${name} 2> /dev/null || :
systemctl restart ${name}
`;
			await remote.run(`restart the unit ${name}`, script);
		},

		async trouble() {
			const script = `${shellTools}for one in ActiveState NRestarts; do
	say "$one" "$(systemctl show -p "$one" ${name} | sed -n "s/^$one=//p")"
done
`;
			const answers = answersOf(await remote.run("look at the unit", script));
			const state = answers.get("ActiveState") ?? "";
			const restarts = Number(answers.get("NRestarts") ?? 0);
			if (!["failed", "inactive"].includes(state) && restarts < restartsMax) return undefined;
			const words = await remote.run("read the journal", `journalctl -u ${name} -o cat --no-pager -n 3 2> /dev/null || :`);
			return `the unit is ${state}${restarts > 0 ? `, restarted ${restarts} times` : ""}${words === "" ? "" : `; its last words: ${words.trim()}`}`;
		},

		async restore() {
			// Only what is known to be the new binary gives way: a swap that was cut off before the move has nothing to undo.
			const script = `${target}if [ "$(sha256 "$target")" = ${shellQuoted(sha256)} ] && [ -e "$target.previous" ]; then
	mv -f -- "$target.previous" "$target"
fi
rm -f -- ${shellQuoted(staged)}
systemctl reset-failed ${name} 2> /dev/null || :
systemctl restart ${name}
`;
			await remote.run(`put the former binary back (by hand: mv ${binary}.previous ${binary}; systemctl restart ${name})`, script);
		},

		settle: () => Promise.resolve(`the former binary is kept as ${binary}.previous`),

		async discard() {
			await remote.run("remove what was copied", `rm -f -- ${shellQuoted(staged)}`);
		},
	};
}
