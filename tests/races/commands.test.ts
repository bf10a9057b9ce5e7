import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { WorkerPrincipal } from "../../src/auth/principal.ts";
import { ask } from "../../src/commands/actions.ts";
import type { CommandRecord } from "../../src/commands/command.ts";
import { cancelCommand, enqueueCommand, onCommandEnd } from "../../src/commands/commands.ts";
import { ordersOf } from "../../src/commands/hand-out.ts";
import { type CommandHub, openCommandHub } from "../../src/commands/hub.ts";
import { outputOf, takeOutput } from "../../src/commands/output.ts";
import { reportCommand } from "../../src/commands/report.ts";
import { sweepCommands } from "../../src/commands/sweep.ts";
import type { Deps } from "../../src/deps.ts";
import type { CommandFrame } from "../../src/protocol/commands.ts";
import { type TestDatabase, testDatabase } from "../support/db.ts";
import { admin, enrollInput, holding, lockWaiters, newSite, openPipeline, type Pipeline, rowCount } from "../support/pipeline.ts";
import { soon, until } from "../support/until.ts";

let database: TestDatabase;
let left: Pipeline;
let right: Pipeline;
let hubs: { left: CommandHub; right: CommandHub };
const ends: string[] = [];
const unregister = onCommandEnd("container.inspect", async (_tx, _deps, command) => {
	ends.push(`${command.id} ${command.state}`);
});
beforeAll(async () => {
	database = await testDatabase();
	[left, right] = await Promise.all([openPipeline(database.url), openPipeline(database.url)]);
	hubs = { left: await openCommandHub(left.deps), right: await openCommandHub(right.deps) };
});
afterAll(async () => {
	unregister();
	await Promise.all([hubs.left.close(), hubs.right.close()]);
	await Promise.all([left.close(), right.close()]);
	await database.drop();
});

type Enrolled = WorkerPrincipal & { readonly hostId: string };

async function newWorker(state = "FUSED"): Promise<Enrolled> {
	const site = await newSite(left.deps);
	const result = await left.enroller.enroll(enrollInput(site), "192.0.2.1");
	if (result.kind !== "enrolled") throw new Error(JSON.stringify(result));
	const { workerId, hostId, name } = result;
	await database.db.sql`update hosts set state = ${state}, last_known_state = ${state} where id = ${hostId}`;
	const [credential] = await database.db.sql`select id from credentials where worker_id = ${workerId}`;
	return {
		kind: "worker",
		tenantId: admin.tenantId,
		workerId,
		credentialId: String(credential?.["id"]),
		name,
		hostId,
		siteId: site.siteId,
	};
}

const inspect = ({ hostId }: Enrolled) => ask(left.deps, admin, hostId, "container.inspect", { container: "web" });
const start = ({ hostId }: Enrolled, container: string) => ask(left.deps, admin, hostId, "container.start", { container });

/** A worker's stream of orders from one server. */
function ordersFrom(deps: Deps, hub: CommandHub, worker: WorkerPrincipal) {
	const gone = new AbortController();
	const frames: CommandFrame[] = [];
	let error: unknown;
	const ended = (async () => {
		for await (const frame of ordersOf(deps, hub, worker, gone.signal)) frames.push(frame);
	})().catch((thrown: unknown) => {
		error = thrown;
	});
	return {
		frames,
		error: () => error,
		ended,
		leave: async () => {
			gone.abort();
			await ended;
		},
		told: (type: string, id: string) => until(`${type} ${id}`, () => frames.some((one) => one.type === type && one.commandId === id)),
	};
}

/** Two that act on one command, in the order in which they queue for its row. */
async function inTurn(command: CommandRecord, first: () => Promise<unknown>, second: () => Promise<unknown>): Promise<unknown[]> {
	const lock = await holding(database.db, `select id from hosts where id = '${command.hostId}' for update`);
	const begun = first();
	await lockWaiters(database.db, 1);
	const other = second();
	await lockWaiters(database.db, 2);
	await lock.release();
	return Promise.all([begun, other]);
}

const stateOf = async ({ id }: CommandRecord) => (await database.db.sql`select state from commands where id = ${id}`)[0]?.["state"];
const endLines = ({ id }: CommandRecord) => rowCount(database.db, "audit", `subject = '${id}' and action like 'command.%'`);
const endsOf = ({ id }: CommandRecord) => ends.filter((end) => end.startsWith(id));

describe("the first end of a command stands, on whichever server it is told (H12)", () => {
	const report =
		(pipeline: Pipeline, worker: Enrolled, { id }: CommandRecord, state: string) =>
		() =>
			reportCommand(pipeline.deps, worker, { commandId: id, state, error: { code: "docker_error", message: "x" } });

	test.each([
		["SUCCEEDED", "FAILED"],
		["FAILED", "SUCCEEDED"],
	])("reported %s on one server and then %s on another: once, with one audit line and one call of the handlers", async (first, second) => {
		const worker = await newWorker();
		const command = await inspect(worker);
		const answers = await inTurn(command, report(left, worker, command, first), report(right, worker, command, second));
		expect(answers).toEqual([first, first]);
		expect(await stateOf(command)).toBe(first);
		expect(await endLines(command)).toBe(1);
		expect(endsOf(command)).toEqual([`${command.id} ${first}`]);
	});

	test.each(["report", "expiry"] as const)("a report and the expiry at once, the %s first", async (first) => {
		const worker = await newWorker();
		const command = await inspect(worker);
		await database.db.sql`update commands set deadline_at = now() - interval '1 hour' where id = ${command.id}`;
		const said = report(left, worker, command, "SUCCEEDED");
		const expires = () => sweepCommands(right.deps, 10);
		await (first === "report" ? inTurn(command, said, expires) : inTurn(command, expires, said));
		const expected = first === "report" ? "SUCCEEDED" : "EXPIRED";
		expect(await stateOf(command)).toBe(expected);
		expect(await endLines(command)).toBe(1);
		expect(endsOf(command)).toEqual([`${command.id} ${expected}`]);
	});

	test.each(["end", "cancel"] as const)("an end and a cancel at once, the %s first: the worker's word stands", async (first) => {
		const worker = await newWorker();
		const command = await inspect(worker);
		await database.db.sql`update commands set handed_at = now() where id = ${command.id}`;
		const said = report(left, worker, command, "SUCCEEDED");
		const cancel = () =>
			right.deps.db.tx((tx) => cancelCommand(right.deps, tx, { tenantId: admin.tenantId, id: command.id, actor: "operator:tests" }));
		await (first === "end" ? inTurn(command, said, cancel) : inTurn(command, cancel, said));
		expect(await stateOf(command)).toBe("SUCCEEDED");
		expect(endsOf(command)).toEqual([`${command.id} SUCCEEDED`]);
	});

	test.each([
		["nobody had asked for it", "EXPIRED", "null"],
		["somebody had", "CANCELLED", "now()"],
	])("a worker ends what streams past its deadline: %s, so it is %s (H13)", async (_, expected, asked) => {
		const worker = await newWorker();
		const command = await inspect(worker);
		const late = "handed_at = now(), deadline_at = now() - interval '1 s'";
		await database.db.sql.unsafe(`update commands set ${late}, cancel_requested_at = ${asked} where id = '${command.id}'`);
		expect(await reportCommand(left.deps, worker, { commandId: command.id, state: "CANCELLED" })).toBe(expected as never);
		expect(endsOf(command)).toEqual([`${command.id} ${expected}`]);
	});

	test("servers that sweep at once expire each command once", async () => {
		const worker = await newWorker();
		const commands = await Promise.all(Array.from({ length: 10 }, () => inspect(worker)));
		await database.db.sql`update commands set deadline_at = now() - interval '1 hour' where worker_id = ${worker.workerId}`;
		await Promise.all([left, right, left, right].map(({ deps }) => sweepCommands(deps, 10)));
		for (const command of commands)
			expect([await stateOf(command), await endLines(command), endsOf(command).length]).toEqual(["EXPIRED", 1, 1]);
	});

	test("a handler that fails undoes the end, and the next report is taken", async () => {
		const worker = await newWorker();
		const command = await start(worker, "a");
		let fails = true;
		const stop = onCommandEnd("container.start", async () => {
			if (fails) throw new Error("not now");
		});
		expect(await report(left, worker, command, "SUCCEEDED")().catch(String)).toContain("not now");
		expect(await stateOf(command)).toBe("QUEUED");
		fails = false;
		expect(await report(left, worker, command, "SUCCEEDED")()).toBe("SUCCEEDED");
		stop();
	});
});

describe("hand-out over two servers (H9, G5)", () => {
	test("commands made on one server reach the worker on the other, changes one at a time", async () => {
		const worker = await newWorker();
		const orders = ordersFrom(right.deps, hubs.right, worker);
		const made = [];
		for (const name of ["a", "b", "c"]) made.push(await start(worker, name));
		for (const { id } of made) {
			await orders.told("ORDER", id);
			await reportCommand(left.deps, worker, { commandId: id, state: "SUCCEEDED" });
		}
		expect(orders.frames.map(({ commandId }) => commandId)).toEqual(made.map(({ id }) => id));
		await orders.leave();
	});

	test("a server that dies after the hand-out and before the report: the other hands out again, and the end is recorded once", async () => {
		const worker = await newWorker();
		const command = await inspect(worker);
		const dying = await openPipeline(database.url);
		const hub = await openCommandHub(dying.deps);
		const first = ordersFrom(dying.deps, hub, worker);
		await first.told("ORDER", command.id);
		await hub.close();
		await dying.close();
		const second = ordersFrom(right.deps, hubs.right, worker);
		await second.told("ORDER", command.id);
		for (const pipeline of [right, left, right])
			expect(await reportCommand(pipeline.deps, worker, { commandId: command.id, state: "SUCCEEDED" })).toBe("SUCCEEDED");
		expect([await endLines(command), endsOf(command).length]).toEqual([1, 1]);
		await second.leave();
		await first.leave();
	});

	test("a second subscription takes over from the first, on another server, and only it is told", async () => {
		const worker = await newWorker();
		const first = ordersFrom(left.deps, hubs.left, worker);
		await until(
			"the first holds it",
			async () => (await rowCount(database.db, "command_streams", `worker_id = '${worker.workerId}'`)) === 1,
		);
		const second = ordersFrom(right.deps, hubs.right, worker);
		await soon("the end of the first", first.ended);
		expect(String(first.error())).toContain("took over");
		const { id } = await inspect(worker);
		await second.told("ORDER", id);
		expect(first.frames).toEqual([]);
		await second.leave();
	});

	test("two that queue for one host at once stand in one order, which is that of their hand-out", async () => {
		const worker = await newWorker();
		const { tenantId, workerId, hostId } = worker;
		const queue = (deps: Deps, container: string) =>
			deps.db.tx((tx) =>
				enqueueCommand(deps, tx, {
					tenantId,
					hostId,
					workerId,
					kind: "container.start",
					params: { container },
					deadlineAt: null,
					actor: "server",
				}),
			);
		const made = await Promise.all(Array.from({ length: 12 }, (_, index) => queue(index % 2 === 0 ? left.deps : right.deps, `c${index}`)));
		const orders = ordersFrom(left.deps, hubs.left, worker);
		for (let done = 1; done <= made.length; done++) {
			const frame = await until(`order ${done}`, () => orders.frames[done - 1]);
			expect(orders.frames.length).toBe(done);
			await reportCommand(right.deps, worker, { commandId: frame.commandId, state: "SUCCEEDED" });
		}
		const rows = await database.db.sql`select id from commands where worker_id = ${workerId} order by sequence`;
		expect(orders.frames.map(({ commandId }) => commandId)).toEqual(rows.map((row) => String(row["id"])));
		await orders.leave();
	});
});

describe("output over two servers (H10, G5)", () => {
	test("the worker on one, the reader on the other: a slow reader makes the worker wait, and gets all of it in order", async () => {
		const worker = await newWorker();
		const command = await ask(left.deps, admin, worker.hostId, "container.logs", {
			container: "web",
			follow: false,
			tail: null,
			since: null,
			timestamps: false,
		});
		const chunk = Buffer.alloc(49_152, 1).toString("base64");
		const count = 60;
		let answered = 0;
		const sending = (async () => {
			for (let sequence = 0; sequence < count; sequence++) {
				await takeOutput(right.deps, hubs.right, worker, { commandId: command.id, sequence, stream: "STDOUT", data: chunk });
				answered++;
			}
			await reportCommand(right.deps, worker, { commandId: command.id, state: "SUCCEEDED" });
		})();
		const reader = { deps: left.deps, commands: hubs.left, signal: new AbortController().signal, as: () => admin };
		const seen: number[] = [];
		let ahead = 0;
		for await (const { sequence } of outputOf(reader, command.id)) {
			seen.push(sequence);
			ahead = Math.max(ahead, answered - seen.length);
			// Slower than the worker, whatever the machine: it goes on when the room is full, or all has been sent.
			if (sequence === 0) await until("the worker waits", () => answered >= 21);
		}
		await sending;
		expect(seen).toEqual(Array.from({ length: count }, (_, index) => index));
		expect(ahead).toBeLessThan(30);
	});

	test("a reader that lost its claim to another does not end what the other reads", async () => {
		const worker = await newWorker();
		const logs = { container: "web", follow: true, tail: null, since: null, timestamps: false };
		const command = await ask(left.deps, admin, worker.hostId, "container.logs", logs);
		const gone = new AbortController();
		const reading = outputOf({ deps: left.deps, commands: hubs.left, signal: gone.signal, as: () => admin }, command.id).next();
		const { sql } = database.db;
		await until("it reads", async () => (await rowCount(database.db, "commands", `id = '${command.id}' and reader is not null`)) === 1);
		await sql`update commands set reader = 'another', reader_until = now() + interval '1 h' where id = ${command.id}`;
		gone.abort();
		expect(await reading).toEqual({ done: true, value: undefined });
		expect(await stateOf(command)).toBe("QUEUED");
	});
});
