/** A host for deploy-worker's tests: a real sshd on loopback, and in its sessions' PATH fakes of systemctl and journalctl that really run the worker. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { shellQuoted } from "../../src/hosts/snippet.ts";
import { root } from "../worker/support.ts";
import { soon } from "./support.ts";

/** Debian's sshd; not in an ordinary user's PATH. */
export const sshd = "/usr/sbin/sshd";

/**
 * As much of systemctl as install.sh's unit needs: it starts the program that `unit/program` names, as a child of a supervisor that starts it again, but not
 * after the exit codes that never get better. Without `unit/program` there is no unit.
 */
const systemctl = `#!/bin/sh
# A fake of the tests: no systemd is here.
unit=@UNIT@
state() { cat "$unit/state" 2> /dev/null || echo inactive; }
supervise() {
	restarts=0
	echo 0 > "$unit/restarts"
	set -a; . "$unit/env"; set +a
	while :; do
		"$(cat "$unit/program")" run >> "$unit/log" 2>&1 < /dev/null &
		echo $! > "$unit/main"
		echo active > "$unit/state"
		code=0
		wait $! || code=$?
		if [ -e "$unit/stopping" ]; then echo inactive > "$unit/state"; exit; fi
		case $code in 64 | 74 | 77 | 78) echo failed > "$unit/state"; exit ;; esac
		echo activating > "$unit/state"
		restarts=$((restarts + 1))
		echo $restarts > "$unit/restarts"
		sleep 0.3
	done
}
stop() {
	: > "$unit/stopping"
	while state | grep -q act; do
		[ "$(state)" != inactive ] || break
		kill "$(cat "$unit/main")" 2> /dev/null
		sleep 0.1
	done
	rm -f "$unit/stopping"
}
[ "$1" != supervise ] || supervise
[ -e "$unit/program" ] || { echo "Unit could not be found." >&2; exit 4; }
case $1 in
	is-enabled) echo enabled ;;
	is-active) state; [ "$(state)" = active ] ;;
	reset-failed) ;;
	show) case $3 in
		ExecStart) printf 'ExecStart={ path=%s ; argv[]=%s run ; ignore_errors=no }\\n' "$(cat "$unit/program")" "$(cat "$unit/program")" ;;
		MainPID) echo "MainPID=$(cat "$unit/main" 2> /dev/null || echo 0)" ;;
		ActiveState) echo "ActiveState=$(state)" ;;
		NRestarts) echo "NRestarts=$(cat "$unit/restarts")" ;;
	esac ;;
	stop) stop ;;
	restart)
		stop
		echo activating > "$unit/state"
		setsid "$0" supervise > /dev/null 2>&1 < /dev/null &
		while [ "$(state)" = activating ]; do sleep 0.05; done ;;
esac
`;

/** One such host; its sshd and its unit are stopped, its files removed when disposed of. */
export class DeployHost implements AsyncDisposable {
	/** What the unit and the container are called here: other tests use the engine too. */
	readonly name = `muster-worker-${crypto.randomUUID().slice(0, 8)}`;
	readonly dir = mkdtempSync(join(tmpdir(), "muster-deploy-"));
	/** Where the binary lies: a path that a careless shell would break. */
	readonly binary = join(this.dir, `it's a "host" $HOME;`, "muster-worker");
	readonly #unit = join(this.dir, "unit");
	readonly #port: number;
	#sshd: ChildProcess | undefined;

	private constructor(port: number) {
		this.#port = port;
	}

	static async start(): Promise<DeployHost> {
		const host = new DeployHost(await freePort());
		const at = (name: string) => join(host.dir, name);
		for (const dir of ["bin", "unit"]) mkdirSync(at(dir));
		mkdirSync(join(host.binary, ".."));
		// Where sshd leaves its privileges; Debian's service makes it.
		mkdirSync("/run/sshd", { recursive: true });
		for (const key of ["host", "user"]) execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", at(key)]);
		copyFileSync(at("user.pub"), at("authorized_keys"));
		writeFileSync(at("known_hosts"), `[127.0.0.1]:${host.#port} ${readFileSync(at("host.pub"), "utf8")}`);
		writeFileSync(at("bin/systemctl"), systemctl.replace("@UNIT@", shellQuoted(host.#unit)), { mode: 0o755 });
		writeFileSync(at("bin/journalctl"), `#!/bin/sh\ntail -n 3 ${shellQuoted(join(host.#unit, "log"))}\n`, { mode: 0o755 });
		const server = [
			`Port ${host.#port}`,
			"ListenAddress 127.0.0.1",
			`HostKey ${at("host")}`,
			`AuthorizedKeysFile ${at("authorized_keys")}`,
			"PidFile none",
			"UsePAM no",
			"StrictModes no",
			"PasswordAuthentication no",
			"PermitRootLogin prohibit-password",
			`SetEnv PATH=${at("bin")}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
		];
		writeFileSync(at("sshd_config"), `${server.join("\n")}\n`);
		writeFileSync(
			at("ssh_config"),
			`Host *\n\tUserKnownHostsFile ${at("known_hosts")}\n\tStrictHostKeyChecking yes\n\tIdentitiesOnly yes\n`,
		);
		const child = spawn(sshd, ["-D", "-e", "-f", at("sshd_config")], { stdio: ["ignore", "ignore", "pipe"] });
		host.#sshd = child;
		await soon("sshd", listening(child));
		return host;
	}

	/** Makes the unit and starts it with this binary and environment. */
	install(binary: string, env: Readonly<Record<string, string>>): void {
		copyFileSync(binary, this.binary);
		chmodSync(this.binary, 0o755);
		const lines = Object.entries(env).map(([key, value]) => `${key}=${shellQuoted(value)}\n`);
		writeFileSync(join(this.#unit, "env"), lines.join(""));
		writeFileSync(join(this.#unit, "program"), this.binary);
		this.systemctl("restart");
	}

	systemctl(verb: string): void {
		execFileSync(join(this.dir, "bin", "systemctl"), [verb, this.name], { stdio: "ignore" });
	}

	/** The pid of what the unit runs. */
	get pid(): string {
		return readFileSync(join(this.#unit, "main"), "utf8").trim();
	}

	/** deploy-worker to this host with these flags: its exit code, and what it said. */
	deploy(...flags: readonly string[]): Promise<{ readonly code: number; readonly said: string }> {
		return this.#deploy(flags, undefined);
	}

	/** The same, but it is told to stop (SIGTERM, as Ctrl-C does) as soon as it has said this. */
	deployUntil(words: string, ...flags: readonly string[]): Promise<{ readonly code: number; readonly said: string }> {
		return this.#deploy(flags, words);
	}

	async #deploy(flags: readonly string[], words: string | undefined) {
		const own = ["--host", "127.0.0.1", "--user", "root", "--port", String(this.#port), "--identity", join(this.dir, "user")];
		const all = [...own, "--ssh-config", join(this.dir, "ssh_config"), "--name", this.name, ...flags];
		const child = spawn(process.execPath, ["scripts/deploy-worker.ts", ...all], { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
		let said = "";
		let told = false;
		for (const stream of [child.stdout, child.stderr]) {
			stream.on("data", (text: Buffer) => {
				said += text.toString();
				if (words === undefined || told || !said.includes(words)) return;
				told = child.kill("SIGTERM");
			});
		}
		const code = await new Promise<number>((resolve) => child.once("close", (status) => resolve(status ?? -1)));
		return { code, said };
	}

	async [Symbol.asyncDispose](): Promise<void> {
		if (existsSync(join(this.#unit, "program"))) this.systemctl("stop");
		const ended = new Promise((resolve) => this.#sshd?.once("exit", resolve));
		if (this.#sshd?.kill() === true) await ended;
		rmSync(this.dir, { recursive: true, force: true });
	}
}

/** A worker that says its version, and when it is to run stays, but says nothing to anybody. */
export function silentWorker(dir: string): string {
	const path = join(dir, "silent-worker");
	writeFileSync(path, '#!/bin/sh\n[ "$1" != version ] || { echo 9.9.9; exit; }\nexec sleep 600\n', { mode: 0o755 });
	return path;
}

/** A worker that says its version, and ends as soon as it is to run. */
export function badWorker(dir: string): string {
	const path = join(dir, "bad-worker");
	writeFileSync(path, "#!/bin/sh\n[ \"$1\" != version ] || { echo 9.9.9; exit; }\necho 'this one never runs' >&2\nexit 70\n", {
		mode: 0o755,
	});
	return path;
}

function listening(child: ChildProcess): Promise<void> {
	return new Promise((resolve, reject) => {
		let said = "";
		child.stderr?.on("data", (text: Buffer) => {
			said += text.toString();
			if (said.includes("Server listening on")) resolve();
		});
		child.once("exit", () => reject(new Error(`sshd ended: ${said}`)));
	});
}

function freePort(): Promise<number> {
	return new Promise((resolve, reject) => {
		const server = createServer();
		server.once("error", reject);
		server.listen(0, "127.0.0.1", () => {
			const address = server.address();
			server.close(() => (typeof address === "object" && address !== null ? resolve(address.port) : reject(new Error("no port"))));
		});
	});
}
