/** Rewrites package-lock.json from package.json and takes the registry addresses out: `node scripts/lock.mjs` after changing a dependency. */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";

const npm = spawnSync("npm", ["install", "--package-lock-only", "--loglevel=error", "--omit-lockfile-registry-resolved=false"], {
	stdio: "inherit",
	shell: process.platform === "win32",
});
if (npm.status !== 0) process.exit(npm.status ?? 70);
const lock = JSON.parse(readFileSync("package-lock.json", "utf8"));
for (const entry of Object.values(lock.packages)) delete entry.resolved;
writeFileSync("package-lock.json", `${JSON.stringify(lock, null, 2)}\n`);
