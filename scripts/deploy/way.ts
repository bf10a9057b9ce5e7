/** What the two ways of deploying have in common. */
import { shellQuoted } from "../../src/hosts/snippet.ts";

/** A finished worker on this machine. */
export interface Build {
	readonly file: string;
	/** SHA-256, lower-case hex. */
	readonly sha256: string;
}

/** One way of bringing a host's worker up to date. Everything throws `SshError` or `ScriptError`. */
export interface Way {
	/** Copies the worker there and proves that it arrived whole and runs; what the worker calls its version. Nothing that runs is touched. */
	stage(build: Build): Promise<string>;
	/** Puts it in place and restarts what runs it. From here on either `settle` or `restore` follows, also when this throws. */
	swap(): Promise<void>;
	/** Why the worker will not come up, with its last words; undefined as long as it may. */
	trouble(): Promise<string | undefined>;
	/** Puts the former worker back and restarts it. */
	restore(): Promise<void>;
	/** Removes what only `restore` needed. What is said to the operator about the former worker. */
	settle(): Promise<string>;
	/** Removes what `stage` left; instead of `swap`. */
	discard(): Promise<void>;
}

/** How often a worker may be restarted by what runs it before we call it broken. */
export const restartsMax = 3;

/** Shell functions for the scripts: `say KEY VALUE` answers, `fail WORDS` ends, `sha256 FILE` prints. */
export const shellTools = `set -eu
say() { printf 'muster:%s=%s\\n' "$1" "$2"; }
fail() { printf '%s\\n' "$*" >&2; exit 1; }
sha256() {
	if command -v sha256sum > /dev/null 2>&1; then sha256sum < "$1" | cut -d' ' -f1
	elif command -v shasum > /dev/null 2>&1; then shasum -a 256 < "$1" | cut -d' ' -f1
	else openssl dgst -sha256 -r < "$1" | cut -d' ' -f1
	fi
}
`;

/** Script lines that take standard input as the worker into `$staged` and prove it whole. */
export function receiveScript({ sha256 }: Build): string {
	return `cat > "$staged"
found=$(sha256 "$staged")
[ "$found" = ${shellQuoted(sha256)} ] || fail "it arrived with SHA-256 $found instead of "${shellQuoted(sha256)}
chmod 755 "$staged"
`;
}
