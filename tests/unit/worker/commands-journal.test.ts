import { expect, test } from "bun:test";
import fc from "fast-check";
import { openJournal } from "../../../worker/commands-journal.ts";
import { openFuseRecord } from "../../../worker/fuse-record.ts";
import { Crash, FakeDisk } from "./fake-disk.ts";

const end = { state: "SUCCEEDED", result: { containerId: "c" } } as const;

test("G6 H12: the power fails at any step: what was begun is known to be begun, an end that was kept stays, nothing is half-written", () => {
	fc.assert(
		fc.property(fc.nat(12), fc.array(fc.boolean(), { minLength: 8, maxLength: 8 }), (crashIn, kept) => {
			const disk = new FakeDisk();
			const seen: string[] = [];
			try {
				const journal = openJournal(disk, "/s");
				disk.crashIn = crashIn;
				journal.begin("a", "container.start", "t", 5);
				seen.push("begun");
				journal.end("a", "container.start", end);
				seen.push("ended");
			} catch (error) {
				if (!(error instanceof Crash)) throw error;
			}
			disk.crashIn = undefined;
			let index = 0;
			disk.powerFailure(() => kept[index++ % kept.length] ?? false);
			const entry = openJournal(disk, "/s").get("a");
			if (seen.includes("begun")) expect(entry).toMatchObject({ begunAtMs: 5, target: "t" });
			if (seen.includes("ended")) expect(entry?.end).toEqual(end);
		}),
	);
});

test("H12: an end is told until the server took it in, and is known for a while after that", () => {
	const disk = new FakeDisk();
	const journal = openJournal(disk, "/s");
	journal.begin("a", "container.start", "t", 5);
	expect(journal.unacknowledged()).toEqual([]);
	journal.end("a", "container.start", end);
	expect(openJournal(disk, "/s").unacknowledged()).toMatchObject([{ id: "a", end }]);
	journal.acknowledge("a");
	journal.begin("b", "container.start", "t", 6);
	const again = openJournal(disk, "/s");
	expect(again.unacknowledged()).toEqual([]);
	expect(again.get("a")).toMatchObject({ end: { state: "SUCCEEDED" }, acknowledged: true });
});

test("the journal is bounded: ends the server knows go first, and what is under way goes last", () => {
	const disk = new FakeDisk();
	const journal = openJournal(disk, "/s");
	journal.begin("under way", "container.start", "t", 1);
	for (let count = 0; count < 1_300; count++) {
		journal.end(`known ${count}`, "container.start", end);
		journal.acknowledge(`known ${count}`);
	}
	for (let count = 0; count < 1_200; count++) journal.end(`untold ${count}`, "container.start", end);
	const again = openJournal(disk, "/s");
	expect(again.unacknowledged().length).toBeLessThanOrEqual(1_024);
	expect(again.get("under way")).toBeDefined();
	expect(again.get("untold 1199")).toBeDefined();
	expect(again.get("known 0")).toBeUndefined();
});

test("a journal that cannot be read ends the worker with what to do: without it a command might be done twice", () => {
	const disk = new FakeDisk();
	disk.write("/s/commands.json", "{");
	expect(() => openJournal(disk, "/s")).toThrow('"/s/commands.json"');
	disk.write("/s/fuse.json", "{");
	expect(() => openFuseRecord(disk, "/s")).toThrow('"/s/fuse.json"');
});

test("H11: fused is who proved and was granted, for the very engine of the proof, and only until it is revoked; restarts change nothing", () => {
	const disk = new FakeDisk();
	const open = () => openFuseRecord(disk, "/s");
	expect(open().refusal("e1")).toContain("not fused");
	expect(open().fuse({ provider: "DOCKER", engineId: "e1" }, 0)).toContain("not proven");
	open().prove("e1", 0);
	expect(open().refusal("e1")).toContain("not fused");
	expect(open().fuse({ provider: "DOCKER", engineId: "e2" }, 1)).toContain('"e2"');
	expect(open().fuse({ provider: "DOCKER", engineId: "e1" }, 3_600_001)).toContain("lately");
	expect(open().fuse({ provider: "DOCKER", engineId: "e1" }, 2)).toBeUndefined();
	expect(open().fuse({ provider: "DOCKER", engineId: "e1" }, 9_999_999)).toBeUndefined();
	expect([open().refusal("e1"), open().refusal("e2")]).toEqual([undefined, expect.stringContaining('"e2"')]);
	open().revoke();
	expect(open().refusal("e1")).toContain("not fused");
	expect(open().fuse({ provider: "DOCKER", engineId: "e1" }, 3)).toContain("not proven");
});
