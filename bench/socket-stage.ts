/** What measurements of sockets share: clients in a process of their own, workers that may log in, what a process takes. */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { fingerprint, mintToken, sha256 } from "../src/protocol/token.ts";
import type { BenchDatabase } from "./stage.ts";

/** The default tenant. */
export const tenant = "ten_00000000000000000000000000";
/** Each socket says another address of its client, as behind a proxy; none is stale while it waits. */
export const proxied = { MUSTER_TRUSTED_PROXIES: "127.0.0.1/32", MUSTER_STALE_SECONDS: "3600" };

/** A process of socket-client.ts. */
export interface Clients {
	ask<T>(command: object): Promise<T>;
	/** Begins to wait for one message on every socket; resolves when it does, with the promise of when they came. */
	expecting<T>(): Promise<{ readonly arrivals: Promise<T> }>;
	stop(): Promise<void>;
}

/** Starts one. */
export function openClients(): Clients {
	const program = spawn(process.execPath, ["--no-env-file", join(import.meta.dirname, "load", "socket-client.ts")], {
		stdio: ["pipe", "pipe", "inherit"],
	});
	const answers: ((line: string) => void)[] = [];
	const ended = new Promise((resolve) => program.once("exit", resolve));
	createInterface({ input: program.stdout }).on("line", (line) => answers.shift()?.(line));
	const next = <T>() => new Promise<T>((resolve) => answers.push((line) => resolve(JSON.parse(line) as T)));
	return {
		ask(command) {
			program.stdin.write(`${JSON.stringify(command)}\n`);
			return next();
		},
		async expecting() {
			program.stdin.write(`${JSON.stringify({ do: "expect", seconds: 60 })}\n`);
			await next();
			return { arrivals: next() };
		},
		async stop() {
			program.stdin.end();
			await ended;
		},
	};
}

/** Processor time of a process and all of its threads, in microseconds (Linux). */
export function cpuMicros(pid: number): number {
	return readdirSync(`/proc/${pid}/task`)
		.map((task) => Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ")[0]) / 1_000)
		.reduce((sum, micros) => sum + micros, 0);
}

/** Resident memory, in bytes (Linux). */
export function rss(pid: number): number {
	return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1_024;
}

/** So many active workers with a credential each, put into the tables directly. */
export async function seedWorkers({ db }: BenchDatabase, count: number): Promise<{ readonly workerId: string; readonly apiKey: string }[]> {
	const workers = Array.from({ length: count }, (_, index) => {
		const token = mintToken("worker", randomBytes(38));
		return { workerId: `wrk_${String(index).padStart(26, "0")}`, token, hash: sha256(token.secret).toString("hex") };
	});
	const rows = workers.map(({ workerId, token, hash }) => ({
		id: workerId,
		selector: token.selector,
		hash,
		hint: fingerprint(token.secret),
	}));
	const { sql } = db;
	await sql`
		insert into workers (tenant_id, id, name, machine_uid, method, auto_enrolled, state, labels, created_at, enrolled_at)
		select ${tenant}, id, id, 'uid-' || id, 'SITE_KEY', false, 'ACTIVE', '{}', now(), now() from jsonb_to_recordset(${sql.json(rows)}) as r (id text)`;
	await sql`
		insert into hosts (id, tenant_id, name, worker_id, state, last_known_state, created_at)
		select 'host' || substr(id, 4), ${tenant}, id, id, 'MONITORING', 'MONITORING', now() from jsonb_to_recordset(${sql.json(rows)}) as r (id text)`;
	await sql`
		insert into credentials (id, tenant_id, worker_id, name, selector, hash, hint, created_at, first_used_at)
		select 'cred' || substr(id, 4), ${tenant}, id, 'enrollment', selector, decode(hash, 'hex'), hint, now(), now()
		from jsonb_to_recordset(${sql.json(rows)}) as r (id text, selector text, hash text, hint text)`;
	await sql`analyze`;
	return workers.map(({ workerId, token }) => ({ workerId, apiKey: token.text }));
}
