import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Random } from "./lib/random.ts";
import { Secret } from "./lib/secret.ts";

/** The data directory, private to the server's user. Throws naming it when it cannot be made. */
export async function makeDataDir(dataDir: string): Promise<void> {
	try {
		await mkdir(dirname(dataDir), { recursive: true });
		await mkdir(dataDir, { recursive: true, mode: 0o700 });
	} catch (error) {
		throw new Error(
			`Cannot make the data directory ${dataDir}: ${error instanceof Error ? error.message : String(error)}; set MUSTER_DATA_DIR to a place that can be written`,
		);
	}
}

/** A secret of 32 random bytes, base64, made once and kept in a file of mode 0600; written beside and renamed, so that it is whole or not there. */
export async function keptSecret(dataDir: string, name: string, random: Random): Promise<Secret> {
	const file = join(dataDir, name);
	const kept = await readFile(file, "utf8").catch(() => undefined);
	if (kept !== undefined && kept.trim() !== "") return new Secret(kept.trim());
	const made = Buffer.from(random.bytes(32)).toString("base64");
	await writePrivate(file, made);
	return new Secret(made);
}

/** Where a rotation keeps the master key it replaces until everything is sealed anew. */
export const formerKeysFile = "master-key-former";

/** The master key that the data directory holds, made when there is none, and the one before it when a rotation stopped half way. */
export async function generatedKeys(
	dataDir: string,
	random: Random,
): Promise<{ readonly current: Secret; readonly former: readonly Secret[] }> {
	const former = await readFile(join(dataDir, formerKeysFile), "utf8").catch(() => "");
	const current = await keptSecret(dataDir, "master-key", random);
	return { current, former: former.trim() === "" ? [] : [new Secret(former.trim())] };
}

/** Writes a file that only its owner may read, in one step. */
export async function writePrivate(file: string, text: string): Promise<void> {
	await writeFile(`${file}.new`, `${text}\n`, { mode: 0o600 });
	await rename(`${file}.new`, file);
}
