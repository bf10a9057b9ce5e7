import { createHash } from "node:crypto";
import { join } from "node:path";
import * as v from "valibot";
import { Secret } from "../src/lib/secret.ts";
import { exitCodes } from "../src/protocol/codes.ts";
import { type Disk, removeFile, replaceFile } from "./disk.ts";
import { Fatal } from "./fatal.ts";
import { fitsHeader } from "./header-text.ts";

/**
 * What the worker keeps in its state directory:
 *
 *   .MUSTER_WORKER_ID, .MUSTER_WORKER_API_KEY   the credential; without both the worker enrolls again (A9, A10)
 *   server.json                                 what the enroll reply said besides, and which pair it came with
 *   mesh-auth-key                               the key that the enroll reply brought for the mesh, until this host has joined it (H7)
 *   pending-enrollment.json                     an enrollment that is not finished: its id and reply key, then also its answer
 *
 * The order of writing, each step durable before the next: (1) the pending enrollment, before it is sent; (2) the answer into it;
 * (3) mesh key, API key, (4) id, (5) server.json, (6) the pending file goes. Up to 2 a restart repeats the same enrollment id and gets the same credential (G6),
 * and what was kept before still stands; from 2 on a restart finishes 3 to 6 from the answer, without the server. So no crash
 * leaves a pair that does not belong together.
 */
const replyKeySchema = v.object({ publicKey: v.string(), privateKey: v.string() });
const serverSchema = v.object({
	hostId: v.string(),
	name: v.string(),
	/** The name that was asked for; the server's may differ. */
	askedName: v.string(),
	/** Null: report to MUSTER_URL. */
	address: v.nullable(v.string()),
	/** Where the enrollment was sent. */
	enrolledAt: v.string(),
	heartbeatSeconds: v.number(),
	/** The mesh this host is to be on; absent: none. */
	mesh: v.optional(v.nullable(v.object({ controlUrl: v.string(), serverAddress: v.nullable(v.string()) }))),
});
const pendingSchema = v.object({
	version: v.literal(1),
	enrollmentId: v.string(),
	replyKey: replyKeySchema,
	startedAt: v.string(),
	/** Digest of the key it was made with: another key is another enrollment. */
	claim: v.string(),
	answer: v.nullable(
		v.object({ workerId: v.string(), apiKey: v.string(), meshKey: v.optional(v.nullable(v.string())), server: serverSchema }),
	),
});
const keptServerSchema = v.object({ version: v.literal(1), workerId: v.string(), keyDigest: v.string(), server: serverSchema });

/** What the enroll reply said besides the credential. */
export type ServerFacts = v.InferOutput<typeof serverSchema>;
/** An enrollment that is not finished. */
export type PendingEnrollment = Omit<v.InferOutput<typeof pendingSchema>, "version" | "answer">;

/** The credential the worker reports with. */
export interface Credential {
	readonly workerId: string;
	readonly apiKey: Secret;
}

/** A kept credential, and what is known of its server. */
export interface Identity {
	readonly credential: Credential;
	/** Absent when the two files were put there by hand. */
	readonly server: ServerFacts | undefined;
}

/** The state files of one directory. One user at a time (worker/lock.ts); all writes throw `Fatal` 73, all reads 74. */
export interface IdentityStore {
	/** The kept credential or undefined. Finishes an answered enrollment first, so that its result is the new credential. */
	load(): Identity | undefined;
	/** The same without changing a file, for `status`. */
	peek(): Identity | undefined;
	/** The enrollment that waits for its answer. */
	pending(): PendingEnrollment | undefined;
	/** Notes an enrollment before it is sent, in place of any other. */
	begin(pending: PendingEnrollment): void;
	/** Keeps the answer to the pending enrollment as the credential. */
	accept(pending: PendingEnrollment, credential: Credential, server: ServerFacts, meshKey?: Secret): void;
	/** Where the key for the mesh is kept; there is none once the host has joined. */
	readonly meshKeyPath: string;
	hasMeshKey(): boolean;
	/** Drops the key for the mesh, durably. */
	forgetMeshKey(): void;
	/** Drops the pending enrollment, after a refusal for good. */
	forget(): void;
}

/** Opens the state files of a directory that exists. */
export function identityStore(disk: Disk, stateDir: string): IdentityStore {
	const path = {
		workerId: join(stateDir, ".MUSTER_WORKER_ID"),
		apiKey: join(stateDir, ".MUSTER_WORKER_API_KEY"),
		server: join(stateDir, "server.json"),
		pending: join(stateDir, "pending-enrollment.json"),
		meshKey: join(stateDir, "mesh-auth-key"),
	};
	const readPending = () => readJson(disk, path.pending, pendingSchema);

	const hasMeshKey = () => disk.read(path.meshKey) !== undefined;

	function forgetMeshKey(): void {
		if (hasMeshKey()) removeFile(disk, path.meshKey);
	}

	function finish(answer: Answer): void {
		if (answer.meshKey) replaceFile(disk, path.meshKey, `${answer.meshKey}\n`);
		else forgetMeshKey();
		replaceFile(disk, path.apiKey, `${answer.apiKey}\n`);
		replaceFile(disk, path.workerId, `${answer.workerId}\n`);
		const kept = { version: 1, workerId: answer.workerId, keyDigest: digest(answer.apiKey), server: answer.server };
		replaceFile(disk, path.server, `${JSON.stringify(kept, null, "\t")}\n`);
		removeFile(disk, path.pending);
	}

	function readFiles(): Identity | undefined {
		const [workerId, apiKey] = [readLine(disk, path.workerId), readLine(disk, path.apiKey)];
		if (workerId === undefined && apiKey === undefined) return undefined;
		if (workerId === undefined || apiKey === undefined) {
			const [there, gone] = workerId === undefined ? [path.apiKey, path.workerId] : [path.workerId, path.apiKey];
			throw new Fatal(
				exitCodes.ioError,
				`Cannot use "${there}" without "${gone}": put the missing file back, or remove both and enroll again`,
			);
		}
		for (const [file, text] of [[path.workerId, workerId] as const, [path.apiKey, apiKey] as const]) {
			if (fitsHeader(text)) continue;
			throw new Fatal(
				exitCodes.ioError,
				`Cannot use "${file}": it holds more than one line of visible ASCII, remove both files and enroll again`,
			);
		}
		const kept = readJson(disk, path.server, keptServerSchema);
		return { credential: { workerId, apiKey: new Secret(apiKey) }, server: matchServer(kept, workerId, apiKey, path) };
	}

	return {
		load() {
			const pending = readPending();
			if (pending?.answer) finish(pending.answer);
			return readFiles();
		},
		peek() {
			const answer = readPending()?.answer;
			return answer ? { credential: { workerId: answer.workerId, apiKey: new Secret(answer.apiKey) }, server: answer.server } : readFiles();
		},
		pending() {
			const pending = readPending();
			return pending === undefined || pending.answer !== null ? undefined : pending;
		},
		begin: (pending) => replaceFile(disk, path.pending, pendingText(pending, null)),
		accept(pending, { workerId, apiKey }, server, meshKey) {
			const answer: Answer = { workerId, apiKey: apiKey.reveal(), meshKey: meshKey?.reveal() ?? null, server };
			replaceFile(disk, path.pending, pendingText(pending, answer));
			finish(answer);
		},
		forget: () => removeFile(disk, path.pending),
		meshKeyPath: path.meshKey,
		hasMeshKey,
		forgetMeshKey,
	};
}

type Answer = {
	readonly workerId: string;
	readonly apiKey: string;
	readonly meshKey?: string | null | undefined;
	readonly server: ServerFacts;
};
type KeptServer = v.InferOutput<typeof keptServerSchema>;

/** What is known of the server, if it came with this pair; refuses a pair of which only one half came with it (A16). */
function matchServer(
	kept: KeptServer | undefined,
	workerId: string,
	apiKey: string,
	path: { readonly workerId: string; readonly apiKey: string; readonly server: string },
): ServerFacts | undefined {
	if (kept === undefined) return undefined;
	const [sameId, sameKey] = [kept.workerId === workerId, kept.keyDigest === digest(apiKey)];
	if (sameId && sameKey) return kept.server;
	// Both replaced: somebody put another whole pair there. One replaced: two halves of different pairs.
	if (!sameId && !sameKey) return undefined;
	throw new Fatal(
		exitCodes.ioError,
		`Cannot use "${path.workerId}" with "${path.apiKey}": they were not stored together, remove both and enroll again, or remove "${path.server}" if the pair is meant`,
	);
}

function pendingText({ enrollmentId, replyKey, startedAt, claim }: PendingEnrollment, answer: Answer | null): string {
	return `${JSON.stringify({ version: 1, enrollmentId, replyKey, startedAt, claim, answer }, null, "\t")}\n`;
}

function readLine(disk: Disk, path: string): string | undefined {
	const text = readText(disk, path)?.trim();
	if (text === "") throw new Fatal(exitCodes.ioError, `Cannot read "${path}": it is empty, remove it and enroll again`);
	return text;
}

function readJson<S extends v.GenericSchema>(disk: Disk, path: string, schema: S): v.InferOutput<S> | undefined {
	const text = readText(disk, path);
	if (text === undefined) return undefined;
	let json: unknown;
	try {
		json = JSON.parse(text);
	} catch (error) {
		throw new Fatal(exitCodes.ioError, `Cannot read "${path}": it is not JSON, remove it`, { cause: error });
	}
	const parsed = v.safeParse(schema, json);
	if (parsed.success) return parsed.output;
	const newer = v.is(v.object({ version: v.pipe(v.number(), v.minValue(2)) }), json);
	throw new Fatal(
		exitCodes.ioError,
		`Cannot read "${path}": ${newer ? "a newer worker wrote it, run that version" : "it is damaged, remove it"}`,
	);
}

function readText(disk: Disk, path: string): string | undefined {
	try {
		return disk.read(path);
	} catch (error) {
		throw new Fatal(
			exitCodes.ioError,
			`Cannot read "${path}": ${error instanceof Error ? error.message : "no reason given"}; run the worker as the user who owns it`,
			{
				cause: error,
			},
		);
	}
}

/** Tells two keys apart without keeping either; the key has 256 random bits, so a plain hash does not give it away. */
function digest(apiKey: string): string {
	return createHash("sha256").update(apiKey).digest("hex").slice(0, 32);
}
