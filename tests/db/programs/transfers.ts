/**
 * Moves money between accounts in concurrent transactions until its standard input ends, with the guards that src/main.ts has, and says
 * what became of each transfer: one JSON line each. The tests cut its connections meanwhile.
 */
import process from "node:process";
import { isKnownDriverFault, openDb } from "../../../src/db/client.ts";
import type { Tx } from "../../../src/db/port.ts";
import { silentLog } from "../../../src/lib/log.ts";
import { Secret } from "../../../src/lib/secret.ts";
import { selectRuntime } from "../../../src/runtime/select.ts";

const runtime = await selectRuntime();
let faults = 0;
runtime.onUncaught((error) => {
	if (!isKnownDriverFault(error)) {
		process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
		return false;
	}
	faults++;
	return true;
});
const url = new Secret(process.env["TRANSFERS_URL"] ?? "");
const db = openDb({ url, directUrl: url, log: silentLog, applicationName: "transfers" });
const accounts = 16;
let running = true;
let made = 0;

process.stdin.on("end", () => {
	running = false;
});
process.stdin.resume();

// More at once than the pool has connections, so that some always wait for one.
const movers = Array.from({ length: 12 }, () => repeat(transfer));
const readers = Array.from({ length: 3 }, () => repeat(readSum));
await Promise.all([...movers, ...readers]);
await db.close();
say({ kind: "end", faults });
process.stdout.write("", () => runtime.exit(0));

async function repeat(step: () => Promise<void>): Promise<void> {
	while (running) await step();
}

async function transfer(): Promise<void> {
	const id = ++made;
	const [low = 0, high = 0] = [id % accounts, (id * 7 + 3) % accounts].sort((left, right) => left - right);
	// Of half of them the first failure goes up, the others are begun anew.
	const retries = id % 2 === 0 ? 0 : 3;
	let works = 0;
	let committing = false;
	try {
		await db.tx(
			async (tx) => {
				works++;
				committing = false;
				await move(tx, id, low, high);
				committing = true;
			},
			{ retries },
		);
		say({ kind: "transfer", id, outcome: "committed", works });
	} catch (error) {
		say({ kind: "transfer", id, outcome: committing ? "unknown" : "failed", works, retries, error: String(error) });
	}
}

/** Several statements, two of them at once, so that a cut hits before, between and in them. */
async function move(tx: Tx, id: number, low: number, high: number): Promise<void> {
	await tx`select balance from accounts where id in (${low}, ${high}) order by id for update`;
	await tx`update accounts set balance = balance - ${id} where id = ${low}`;
	await Promise.all([
		tx`update accounts set balance = balance + ${id} where id = ${high}`,
		tx`insert into ledger (id, source, target, amount) values (${id}, ${low}, ${high}, ${id})`,
	]);
	await tx`select 1`;
}

/** What single statements see meanwhile; the sum is constant at every moment. */
async function readSum(): Promise<void> {
	try {
		const rows = await db.sql`select sum(balance)::int as total, count(*)::int as rows from accounts`;
		say({ kind: "sum", total: rows[0]?.["total"], rows: rows[0]?.["rows"] });
	} catch (error) {
		say({ kind: "unread", error: String(error) });
	}
}

function say(line: Readonly<Record<string, unknown>>): void {
	process.stdout.write(`${JSON.stringify(line)}\n`);
}
