import { afterAll, beforeAll, expect, test } from "bun:test";
import { refusalAnswer, refusalStatus, refusals } from "../../src/protocol/codes.ts";
import { asAdmin, type GraphQLReply, type Muster, startMuster } from "../support/muster.ts";
import { admin, rowCount } from "../support/pipeline.ts";
import { openWire, type Wire } from "../support/wire.ts";
import { doesNotApply, type Row, table } from "./refusals-table.ts";
import { kinds, meshDownEnv, methods, openWay, type Stage, stageEnv, type Way } from "./refusals-ways.ts";
import { enroll, metric, newSource, onEachRuntime } from "./support.ts";

const secondsForSlowMachines = 60_000;

test("H8: every reason and kind of key is reached by a row below, or cannot meet and says why", () => {
	const unsettled = kinds.flatMap((kind) =>
		refusals
			.filter((reason) => table.some((row) => row.reason === reason && row.kind === kind) === reason in doesNotApply[kind])
			.map((reason) => `${reason} for ${kind}`),
	);
	expect(unsettled).toEqual([]);
	expect(refusals.filter((reason) => !table.some((row) => row.reason === reason))).toEqual([]);
});

onEachRuntime(
	"a refusal",
	(bench, runtime) => {
		const others: { twin?: Muster; closed?: Muster; bare?: Muster; meshed?: Muster; wire?: Wire } = {};
		beforeAll(async () => {
			const { url } = bench.database;
			const start = (databaseUrl: string, env: Readonly<Record<string, string>>) => startMuster({ runtime, databaseUrl, env });
			const { MUSTER_SHARED_SECRET: _, ...bareEnv } = stageEnv;
			const wire = await openWire(url);
			others.wire = wire;
			await Promise.all([
				start(wire.url, stageEnv).then((server) => (others.twin = server)),
				start(url, { ...stageEnv, MUSTER_EXTERNAL_WORKERS: "off" }).then((server) => (others.closed = server)),
				start(url, bareEnv).then((server) => (others.bare = server)),
				start(url, meshDownEnv).then((server) => (others.meshed = server)),
			]);
		}, secondsForSlowMachines);
		afterAll(async () => {
			await Promise.all([others.twin?.stop(), others.closed?.stop(), others.bare?.stop(), others.meshed?.stop()]);
			await others.wire?.cut();
		});
		const stage = (): Stage => {
			const { twin, closed, bare, meshed, wire } = others;
			if (twin === undefined || closed === undefined || bare === undefined || meshed === undefined || wire === undefined)
				throw new Error("No stage");
			return { server: bench.server, database: bench.database, twin, closed, bare, meshed, wire };
		};

		test.each(table.map((row) => [row.reason, row.kind, row.how, row] as const))(
			"%s for %s, since %s: told by status, text, row, audit line and metric, and never the secret (H8, S7)",
			async (_reason, _kind, _how, row) => {
				const there = stage();
				const [way, source] = [await openWay(there, row.kind, row.key), newSource()];
				const { input, server = there.server, ask } = await row.arrange(there, way, source);
				const series = `muster_enroll_rejections_total{reason="${row.reason}"}`;
				const before = await metric(server, series);
				const sentAt = Date.now();
				const reply = await (ask ?? (() => enroll(server, input, source)))();
				expectToldAsDesigned(row, way, reply, sentAt);
				expect(await metric(server, series)).toBe(before + 1);
				await expectRecorded(there, row, way, input.worker, ask === undefined ? source : undefined);
			},
			secondsForSlowMachines,
		);
	},
	stageEnv,
);

function expectToldAsDesigned({ reason }: Row, way: Way, reply: GraphQLReply, sentAt: number): void {
	expect(reply.errors).toEqual([]);
	const { message, serverTime, retryAfterSeconds, ...rest } = reply.data.enroll;
	expect(rest).toEqual({ __typename: "EnrollmentRejected", reason });
	expect(reply.status).toBe(refusalStatus[reason]);
	expect(message).not.toBe("");
	for (const secret of way.secrets) expect(JSON.stringify(reply.data)).not.toContain(secret);
	expect(Date.parse(serverTime)).toBeWithin(sentAt - 1, Date.now() + 1);
	if (refusalAnswer[reason] === "wait") {
		expect(retryAfterSeconds).toBeGreaterThan(0);
		expect(reply.headers.get("retry-after")).toBe(String(retryAfterSeconds));
	} else {
		expect(retryAfterSeconds).toBeNull();
		expect(reply.headers.has("retry-after")).toBeFalse();
	}
}

async function expectRecorded(
	{ database, server }: Stage,
	{ reason, kind, recorded }: Row,
	way: Way,
	{ name, machineUid }: { readonly name: string; readonly machineUid: string },
	source: string | undefined,
): Promise<void> {
	const { db } = database;
	const attempts = await db.sql`
		select tenant_id, method, source_address, claimed_name, accepted, outcome, worker_id from attempts
		where machine_uid = ${machineUid} and reason = ${reason}`;
	const seen = {
		tenantId: recorded === "in full" ? admin.tenantId : null,
		method: methods[kind],
		sourceAddress: source ?? expect.any(String),
		claimedName: name,
		accepted: false,
		outcome: null,
		workerId: null,
	};
	expect([...attempts] as object[]).toEqual(recorded === "nowhere" ? [] : [seen]);
	const audit = `action = 'enrollment.refused' and detail->>'machineUid' = '${machineUid}'`;
	const lines = recorded === "in full" ? 1 : 0;
	expect(await rowCount(db, "audit", audit)).toBe(lines);
	expect(await rowCount(db, "audit", `${audit} and detail->>'reason' = '${reason}'`)).toBe(lines);
	for (const place of ["audit", "attempts", "alerts", "events", "workers"]) {
		for (const secret of way.secrets) expect([place, await rowCount(db, place, `${place}::text like '%${secret}%'`)]).toEqual([place, 0]);
	}
	const { enrollmentAttempts } = await asAdmin(
		server,
		`query ($reason: RejectionReason) { enrollmentAttempts(first: 20, reason: $reason) {
			edges { node { reason method accepted sourceAddress claimedName machineUid } } } }`,
		{ reason },
	);
	const shown = enrollmentAttempts.edges.map(({ node }: { node: object }) => node);
	const node = { reason, method: seen.method, accepted: false, sourceAddress: seen.sourceAddress, claimedName: name, machineUid };
	expect(shown.filter((found: { machineUid: string }) => found.machineUid === machineUid)).toEqual(recorded === "in full" ? [node] : []);
}
