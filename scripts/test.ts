/**
 * Runs every test: one PostgreSQL for the run, `bun test`, then the suites that also run under Deno. Closes with `N passed, N failed, N skipped`.
 * `--only PATH` runs the files below PATH; what else is given goes to `bun test`.
 */
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { startTestServer } from "../tests/support/db.ts";
import { commandFor } from "../tests/support/runtimes.ts";

interface Counts {
	passed: number;
	failed: number;
	skipped: number;
}

const root = join(import.meta.dirname, "..");
const args = process.argv.slice(2);
const only = args.indexOf("--only");
const [where = "tests"] = only === -1 ? [] : args.splice(only, 2).slice(1);

const server = await startTestServer();
process.stderr.write(`Tests use PostgreSQL: ${server.kind}\n`);
const env = { ...process.env, TEST_DATABASE_URL: server.url };
const total: Counts = { passed: 0, failed: 0, skipped: 0 };
let exit = 0;
try {
	const bun = await run([process.execPath, "test", `./${where}`, "--timeout", "120000", ...args], readBun);
	add("bun", bun.counts, bun.exit);
	const both = readdirSync(join(root, "tests", "db"))
		.map((file) => `tests/db/${file}`)
		.filter((file) => file.endsWith(".test.ts") && (file.startsWith(where) || where.startsWith(file)));
	if (both.length > 0) {
		const [deno] = commandFor("deno", "");
		const result = await run([deno, "test", "-A", "--no-check", "--config", join(root, "deno.json"), ...both], readDeno);
		add("deno", result.counts, result.exit);
	}
} finally {
	await server.stop();
}
process.stdout.write(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`);
process.exit(exit);

function add(name: string, counts: Counts, code: number): void {
	process.stdout.write(`${name}: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`);
	total.passed += counts.passed;
	// A run that failed without saying which test did (a load error, an uncaught fault) counts as one.
	total.failed += code !== 0 && counts.failed === 0 ? 1 : counts.failed;
	total.skipped += counts.skipped;
	exit ||= code;
}

/** Runs one suite with its output shown, and reads its closing lines. */
function run([command = "", ...rest]: readonly string[], read: (output: string) => Counts): Promise<{ counts: Counts; exit: number }> {
	return new Promise((resolve) => {
		const child = spawn(command, rest, { cwd: root, env, stdio: ["ignore", "pipe", "pipe"] });
		let output = "";
		child.stdout.setEncoding("utf8").on("data", (text: string) => {
			output += text;
			process.stdout.write(text);
		});
		child.stderr.setEncoding("utf8").on("data", (text: string) => {
			output += text;
			process.stderr.write(text);
		});
		child.on("close", (code) => resolve({ counts: read(output), exit: code ?? 1 }));
	});
}

function readBun(output: string): Counts {
	const last = (word: string) => Number([...output.matchAll(new RegExp(`^ *(\\d+) ${word}$`, "gm"))].at(-1)?.[1] ?? 0);
	return { passed: last("pass"), failed: last("fail") + last("errors?"), skipped: last("skip") + last("todo") };
}

function readDeno(output: string): Counts {
	const plain = output.replaceAll(new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, "g"), "");
	const line = [...plain.matchAll(/\| (\d+) passed(?: \(\d+ steps?\))? \| (\d+) failed(?: \(\d+ steps?\))?(?: \| (\d+) ignored)?/g)].at(-1);
	return { passed: Number(line?.[1] ?? 0), failed: Number(line?.[2] ?? 0), skipped: Number(line?.[3] ?? 0) };
}
