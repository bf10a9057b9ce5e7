import { expect, test } from "bun:test";
import { writeVitals } from "../../src/workers/vitals-store.ts";
import { asAdmin, graphql } from "../support/muster.ts";
import { admin, enrollInput, rowCount } from "../support/pipeline.ts";
import { until } from "../support/until.ts";
import { type Bench, enroll, newSite, onEachRuntime } from "./support.ts";

const point = "at bootId load1 memoryUsedBytes uptimeSeconds";
const minuteMs = 60_000;

onEachRuntime("vitals", (bench: Bench) => {
	async function newWorker(): Promise<{ readonly workerId: string; readonly apiKey: string }> {
		return (await enroll(bench.server, enrollInput(await newSite(bench.server)))).data.enroll;
	}

	async function beat({ workerId, apiKey }: { readonly workerId: string; readonly apiKey: string }, input: object): Promise<void> {
		const headers = { authorization: `Bearer ${apiKey}`, "muster-worker-id": workerId };
		const { errors } = await graphql(
			bench.server,
			"mutation ($input: HeartbeatInput) { heartbeat(input: $input) { serverTime } }",
			{ input },
			headers,
		);
		expect(errors).toEqual([]);
	}

	async function shown(id: string) {
		const query = `query ($id: ID!) { worker(id: $id) { vitals { ${point} } history { ${point} } host { vitals { ${point} } history { ${point} } } } }`;
		return (await asAdmin(bench.server, query, { id })).worker;
	}

	const aBeat = (workerId: string, at: number, load1: number) => ({
		tenantId: admin.tenantId,
		workerId,
		at,
		bootId: "boot",
		sequence: 1,
		load1,
		memoryUsedBytes: 1,
		uptimeSeconds: 1,
	});

	test("the last heartbeat and the hour's history stand on the worker and on its host; before the first beat there is none (H10)", async () => {
		const worker = await newWorker();
		expect(await shown(worker.workerId)).toEqual({ vitals: null, history: [], host: { vitals: null, history: [] } });
		await beat(worker, { bootId: "boot-1", sequence: 1, load1: 0.5, memoryUsedBytes: 2 ** 33, uptimeSeconds: 77 });
		const found = await until("the heartbeat", async () => {
			const now = await shown(worker.workerId);
			return now.history.length > 0 && now;
		});
		const expected = { at: expect.any(String), bootId: "boot-1", load1: 0.5, memoryUsedBytes: 2 ** 33, uptimeSeconds: 77 };
		expect(found).toEqual({ vitals: expected, history: [expected], host: { vitals: expected, history: [expected] } });
	});

	test("of one minute the first beat that was written stays, whichever server brings another, and a day of beats is sixty rows (H10)", async () => {
		const { workerId } = await newWorker();
		const { sql } = bench.database.db;
		const minute = Math.floor(Date.now() / minuteMs) * minuteMs - minuteMs;
		await writeVitals(sql, [aBeat(workerId, minute, 1)]);
		await writeVitals(sql, [aBeat(workerId, minute + 15_000, 2)]);
		await writeVitals(sql, [aBeat(workerId, minute + 30_000, 3)]);
		expect((await shown(workerId)).history.map(({ load1 }: { load1: number }) => load1)).toEqual([1]);

		for (let ago = 1_440; ago >= 0; ago--) await writeVitals(sql, [aBeat(workerId, minute - ago * minuteMs, ago)]);
		expect(await rowCount(bench.database.db, "vitals", `worker_id = '${workerId}'`)).toBe(60);
		const loads = (await shown(workerId)).history.map(({ load1 }: { load1: number }) => load1);
		expect(loads.slice(-3)).toEqual([2, 1, 1]);
		expect(loads.length).toBeGreaterThan(55);
	});

	test("a sign of life without figures, as doctor sends, takes none away (H10)", async () => {
		const worker = await newWorker();
		await beat(worker, { bootId: "boot-1", load1: 0.5 });
		const first = await until("the heartbeat", async () => (await shown(worker.workerId)).vitals ?? undefined);
		await beat(worker, {});
		const later = await until("the sign of life", async () => {
			const { vitals } = await shown(worker.workerId);
			return vitals.at !== first.at && vitals;
		});
		expect(later).toMatchObject({ bootId: "boot-1", load1: 0.5 });
	});

	test("a worker that was brought up to date without enrolling again shows its new version (H15)", async () => {
		const worker = await newWorker();
		const version = async () =>
			(await asAdmin(bench.server, "query ($id: ID!) { worker(id: $id) { version } }", { id: worker.workerId })).worker.version;
		for (const said of ["1.0.0", "1.1.0"]) {
			await beat(worker, { version: said });
			await until(`version ${said}`, async () => (await version()) === said);
		}
		await beat(worker, { bootId: "says-none" });
		expect(await version()).toBe("1.1.0");
	});

	test("a deleted worker's history goes with it, and a beat that is still under way brings none back", async () => {
		const { workerId } = await newWorker();
		const { sql } = bench.database.db;
		await writeVitals(sql, [aBeat(workerId, Date.now(), 1)]);
		await asAdmin(bench.server, "mutation ($id: ID!) { deleteWorker(id: $id) { deletedId } }", { id: workerId });
		await writeVitals(sql, [aBeat(workerId, Date.now() + minuteMs, 1)]);
		expect(await rowCount(bench.database.db, "vitals", `worker_id = '${workerId}'`)).toBe(0);
	});
});
