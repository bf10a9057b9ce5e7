/** What each npm script runs. A task yields steps; the first step that fails ends it. */
import { join } from "node:path";

const bin = (root, name) => join(root, "node_modules", ".bin", name);

export const tasks = {
	start: ({ args, runtime }) => [
		{ command: runtime("scripts/build-dashboard.ts", ["--if-needed"], "bun") },
		{ command: runtime("src/main.ts", ["serve", ...args]), cwd: process.env.INIT_CWD },
	],
	"build:dashboard": ({ args, runtime }) => [{ command: runtime("scripts/build-dashboard.ts", args, "bun") }],
	token: ({ args, runtime }) => [{ command: runtime("src/main.ts", ["token", ...args]), cwd: process.env.INIT_CWD }],
	"rotate-master-key": ({ args, runtime }) => [
		{ command: runtime("src/main.ts", ["rotate-master-key", ...args]), cwd: process.env.INIT_CWD },
	],
	schema: ({ args, runtime }) => [{ command: runtime("scripts/schema.ts", args, "bun") }],
	"schema:sql": ({ args, runtime }) => [{ command: runtime("scripts/schema-sql.ts", args, "bun") }],
	demo: ({ args, runtime }) => [{ command: runtime("scripts/demo.ts", args) }],
	worker: ({ args, runtime }) => [{ command: runtime("scripts/worker.ts", args, "bun"), cwd: process.env.INIT_CWD }],
	"build:worker": ({ args, runtime }) => [{ command: runtime("worker/build.ts", args, "bun") }],
	"deploy-worker": ({ args, runtime }) => [{ command: runtime("scripts/deploy-worker.ts", args, "bun"), cwd: process.env.INIT_CWD }],
	bench: ({ args, runtime }) => [{ command: runtime("bench/run.ts", args, "bun") }],
	format: ({ root, args }) => [{ command: [bin(root, "biome"), "format", ...(args.includes("--check") ? [] : ["--write"]), "."] }],
	lint: ({ root }) => [
		{ command: [bin(root, "biome"), "lint", "--error-on-warnings", "."] },
		{ command: [bin(root, "oxlint"), "--type-aware", "--deny-warnings", "src", "worker", "dashboard", "tests", "scripts", "bench"] },
	],
	types: ({ root }) => [{ command: [bin(root, "tsc"), "--noEmit"] }, { command: [bin(root, "tsc"), "--noEmit", "--project", "dashboard"] }],
	arch: ({ args, runtime }) => [{ command: runtime("scripts/test.ts", ["--only", "tests/arch", ...args], "bun") }],
	test: ({ args, runtime }) => [{ command: runtime("scripts/test.ts", args, "bun") }],
	ok: (context) => [
		...tasks.format({ ...context, args: ["--check"] }),
		...tasks.lint(context),
		...tasks.types(context),
		...tasks.test({ ...context, args: context.args }),
	],
};
