import { rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { Config } from "./config.ts";
import { openDb } from "./db/client.ts";
import { type Embedded, startEmbedded } from "./db/embedded.ts";
import { reseal } from "./keys/reseal.ts";
import { masterKeyId, openVault } from "./keys/vault.ts";
import type { Log } from "./lib/log.ts";
import { systemRandom } from "./lib/random.ts";
import { Secret } from "./lib/secret.ts";
import { formerKeysFile, generatedKeys, makeDataDir, writePrivate } from "./secrets.ts";

const closeMs = 2_000;

/**
 * Seals every secret of the database anew under the current master key (A2). With MUSTER_MASTER_KEY set that is the current one, and the ones
 * before it stand in MUSTER_MASTER_KEY_FORMER; every server must have been restarted with both first. With a generated key, which only the
 * embedded database may have here, a new one is made, and the server must be stopped. A stop half way loses nothing: the former key is kept until all is sealed anew, and a repeat goes on.
 * Returns one line that says what was done.
 */
export async function rotateMasterKey(config: Config, log: Log): Promise<string> {
	const dataDir = resolve(config.dataDir);
	if (config.database !== undefined && config.masterKey === undefined) {
		throw new Error(
			`with DATABASE_URL the key has to be given: set MUSTER_MASTER_KEY to a new one and MUSTER_MASTER_KEY_FORMER to the one in ${join(dataDir, "master-key")}, restart every server with both, then run this again`,
		);
	}
	await makeDataDir(dataDir);
	const embedded = config.database === undefined ? await startEmbedded({ dataDir, log }) : undefined;
	try {
		const db = openDb({ ...placeOf(config, embedded), log, applicationName: "muster-rotate" });
		try {
			const { current, former } = await keysFor(config, dataDir);
			const count = await reseal({ db }, openVault(current, former, systemRandom));
			if (config.masterKey === undefined) await rm(join(dataDir, formerKeysFile), { force: true });
			const next = config.masterKey === undefined ? "start the server again" : "MUSTER_MASTER_KEY_FORMER may be unset now";
			return `${count} secret(s) sealed anew under master key ${masterKeyId(current)}: ${next}`;
		} finally {
			await db.close(closeMs);
		}
	} finally {
		await embedded?.stop();
	}
}

/** The keys to seal and to open with; of generated ones a new current one, unless an earlier rotation stopped half way. */
async function keysFor(config: Config, dataDir: string): Promise<{ readonly current: Secret; readonly former: readonly Secret[] }> {
	if (config.masterKey !== undefined) return { current: config.masterKey, former: config.formerMasterKeys };
	const kept = await generatedKeys(dataDir, systemRandom);
	if (kept.former.some((key) => masterKeyId(key) !== masterKeyId(kept.current))) return kept;
	const next = new Secret(Buffer.from(systemRandom.bytes(32)).toString("base64"));
	// The former key first: at no moment is a key in use that stands nowhere.
	await writePrivate(join(dataDir, formerKeysFile), kept.current.reveal());
	await writePrivate(join(dataDir, "master-key"), next.reveal());
	return { current: next, former: [kept.current] };
}

function placeOf({ database }: Config, embedded: Embedded | undefined): { readonly url: Secret; readonly directUrl: Secret } {
	if (database !== undefined) return database;
	if (embedded === undefined) throw new Error("The embedded database was not started");
	return { url: embedded.url, directUrl: embedded.url };
}
