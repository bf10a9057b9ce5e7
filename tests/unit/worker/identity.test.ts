import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { Secret } from "../../../src/lib/secret.ts";
import { Fatal } from "../../../worker/fatal.ts";
import { type IdentityStore, identityStore, type PendingEnrollment, type ServerFacts } from "../../../worker/identity.ts";
import { Crash, FakeDisk } from "./fake-disk.ts";

const dir = "/state";
const pending = (id: string): PendingEnrollment => ({
	enrollmentId: id,
	replyKey: { publicKey: "public", privateKey: "private" },
	startedAt: "2026-11-21T00:00:00.000Z",
	claim: "claim",
});
const server: ServerFacts = {
	hostId: "host_1",
	name: "edge-1",
	askedName: "edge-1",
	address: null,
	enrolledAt: "http://10.0.0.5/graphql",
	heartbeatSeconds: 15,
};
const credential = (name: string) => ({ workerId: `wrk_${name}`, apiKey: new Secret(`key_${name}`) });

/** The whole of one enrollment, as worker/enrollment.ts does it. */
function enroll(store: IdentityStore, name: string): void {
	store.begin(pending(name));
	store.accept(pending(name), credential(name), server, new Secret(`mesh_${name}`));
}

/** The pair a fresh start finds, or "none". */
function recover(disk: FakeDisk): string {
	const found = identityStore(disk, dir).load();
	return found === undefined ? "none" : `${found.credential.workerId} ${found.credential.apiKey.reveal()}`;
}

function enrolledDisk(): FakeDisk {
	const disk = new FakeDisk();
	enroll(identityStore(disk, dir), "old");
	return disk;
}

/** Operations of one enrollment: the crash points. */
function countSteps(): number {
	const disk = enrolledDisk();
	const before = disk.operations;
	enroll(identityStore(disk, dir), "new");
	return disk.operations - before;
}

/** Enrolls until the crash; the state is what the dying process leaves. */
function crashAt(disk: FakeDisk, step: number): void {
	disk.crashIn = step;
	expect(() => enroll(identityStore(disk, dir), "new")).toThrow(Crash);
	disk.crashIn = undefined;
}

const steps = Array.from({ length: countSteps() }, (_, step) => step);
const wholePairs = ["wrk_old key_old", "wrk_new key_new"];

describe("a crash at every step of keeping a credential", () => {
	test.each(steps)("G6 A9: killed before step %d, the old pair is whole or the new one is", (step) => {
		const disk = enrolledDisk();
		crashAt(disk, step);

		expect(wholePairs).toContain(recover(disk));
	});

	test.each(steps)("G6: killed before step %d of the first enrollment, the same enrollment goes on or its credential is there", (step) => {
		const disk = new FakeDisk();
		crashAt(disk, step);

		const found = recover(disk);
		const again = identityStore(disk, dir).pending()?.enrollmentId;
		// Before the pending enrollment was durable nothing was sent either: a fresh one is right.
		if (found === "none") expect(again).toBe(step <= 2 ? undefined : "new");
		else expect([found, again]).toEqual(["wrk_new key_new", undefined]);
	});

	test("G6 A9: the power fails at any step, with any part of the names written: old or new, never a mixture, never none", () => {
		fc.assert(
			fc.property(fc.constantFrom(...steps), fc.array(fc.boolean(), { minLength: 12, maxLength: 12 }), (step, kept) => {
				const disk = enrolledDisk();
				crashAt(disk, step);
				const choices = [...kept];
				disk.powerFailure(() => choices.pop() ?? false);

				expect(wholePairs).toContain(recover(disk));
			}),
			{ numRuns: 2_000 },
		);
	});

	test("G6: a second crash while recovering from the first does no harm", () => {
		fc.assert(
			fc.property(fc.constantFrom(...steps), fc.nat(20), fc.func(fc.boolean()), (step, second, keep) => {
				const disk = enrolledDisk();
				crashAt(disk, step);
				let asked = 0;
				disk.powerFailure(() => keep(asked++));
				disk.crashIn = second;
				try {
					recover(disk);
				} catch (error) {
					expect(error).toBeInstanceOf(Crash);
				}
				disk.crashIn = undefined;
				disk.powerFailure(() => keep(asked++));

				expect(wholePairs).toContain(recover(disk));
			}),
			{ numRuns: 2_000 },
		);
	});

	test.each(steps)("H7: killed before step %d, whoever has the new pair has the key for the mesh too", (step) => {
		const disk = enrolledDisk();
		crashAt(disk, step);

		if (recover(disk) === "wrk_new key_new") expect(disk.read("/state/mesh-auth-key")).toBe("mesh_new\n");
	});

	test("A9: from the moment the answer is durable the new pair wins, without asking the server", () => {
		const outcomes = steps.map((step) => {
			const disk = enrolledDisk();
			crashAt(disk, step);
			return recover(disk);
		});

		const firstNew = outcomes.indexOf("wrk_new key_new");
		expect(firstNew).toBeGreaterThan(0);
		expect(new Set(outcomes.slice(firstNew))).toEqual(new Set(["wrk_new key_new"]));
	});
});

describe("what is kept", () => {
	test("A9: the two files hold the id and the key, one line each, and no temporary file stays", () => {
		const disk = enrolledDisk();

		expect(disk.read("/state/.MUSTER_WORKER_ID")).toBe("wrk_old\n");
		expect(disk.read("/state/.MUSTER_WORKER_API_KEY")).toBe("key_old\n");
		expect(disk.names()).toEqual([
			"/state/.MUSTER_WORKER_API_KEY",
			"/state/.MUSTER_WORKER_ID",
			"/state/mesh-auth-key",
			"/state/server.json",
		]);
	});

	test("H7: a key for the mesh goes when it was used, and with an enrollment that brings none", () => {
		const used = enrolledDisk();
		identityStore(used, dir).forgetMeshKey();
		const other = enrolledDisk();
		identityStore(other, dir).accept(pending("new"), credential("new"), server);

		for (const disk of [used, other]) expect(disk.names().join()).not.toContain("mesh");
	});

	test("A10: without the two files there is no credential, whatever else is left", () => {
		const disk = enrolledDisk();
		disk.remove("/state/.MUSTER_WORKER_ID");
		disk.remove("/state/.MUSTER_WORKER_API_KEY");

		expect(recover(disk)).toBe("none");
	});

	test("A9: a pair put there by hand is taken, without the other server's facts", () => {
		const disk = enrolledDisk();
		disk.write("/state/.MUSTER_WORKER_ID", "wrk_mine");
		disk.write("/state/.MUSTER_WORKER_API_KEY", "key_mine\n");

		expect(recover(disk)).toBe("wrk_mine key_mine");
		expect(identityStore(disk, dir).load()?.server).toBeUndefined();
	});

	test.each([
		["the id alone replaced", "/state/.MUSTER_WORKER_ID", "wrk_other", "they were not stored together"],
		["the key alone replaced", "/state/.MUSTER_WORKER_API_KEY", "key_other", "they were not stored together"],
		["an empty key", "/state/.MUSTER_WORKER_API_KEY", "\n", "it is empty"],
		["a damaged server.json", "/state/server.json", "{", "it is not JSON"],
		["a server.json of another shape", "/state/server.json", '{"version":1}', "it is damaged"],
		["a server.json of a later version", "/state/server.json", '{"version":2}', "a newer worker wrote it"],
	])("A16: %s is refused with 74 and one line", (_, path, text, why) => {
		const disk = enrolledDisk();
		disk.write(path, text);

		expect(refusalOf(() => recover(disk))).toEqual([74, expect.stringContaining(why)]);
	});

	test("A16: half a pair is refused with 74, naming both files", () => {
		const disk = enrolledDisk();
		disk.remove("/state/.MUSTER_WORKER_API_KEY");

		expect(refusalOf(() => recover(disk))).toEqual([74, expect.stringMatching(/WORKER_ID.*WORKER_API_KEY/)]);
	});

	test("A16: a full disk is refused with 73 and the remedy", () => {
		const disk = enrolledDisk();
		disk.failWrite = "ENOSPC";

		expect(refusalOf(() => enroll(identityStore(disk, dir), "new"))).toEqual([73, expect.stringContaining("make room")]);
	});

	test("status sees an answered enrollment without changing a file", () => {
		const disk = enrolledDisk();
		crashAt(disk, 9);
		const before = disk.operations;

		expect(identityStore(disk, dir).peek()?.credential.workerId).toBe("wrk_new");
		expect(disk.operations).toBe(before);
	});
});

function refusalOf(action: () => unknown): readonly [number, string] | undefined {
	try {
		action();
	} catch (error) {
		if (error instanceof Fatal) return [error.exitCode, error.message];
		throw error;
	}
	return undefined;
}
