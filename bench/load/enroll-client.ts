/**
 * Loads a server with enrollments from a process of its own: a closed loop of so many clients, each a machine of its own with every
 * request, on connections kept open; or so many at once. What to do comes as JSON in LOAD; what came of it goes to stdout as JSON.
 */
import { createHmac } from "node:crypto";
import process from "node:process";
import { autoEnrollmentMac } from "../../src/protocol/auto-enroll.ts";
import { enrollDocument } from "../../src/protocol/operations.ts";
import { percentile } from "../figures.ts";

/** What the load is. */
export interface EnrollLoad {
	readonly port: number;
	readonly clients: number;
	/** Seconds before anything counts, and seconds that count; with `once` each client asks once and nothing else counts. */
	readonly warmSeconds: number;
	readonly seconds: number;
	readonly once?: boolean;
	readonly credential:
		| { readonly siteKey: { readonly siteCode: string; readonly key: string } }
		| { readonly enrollmentKey: string }
		| { readonly autoSecret: string };
	/** Asks in other words (a blank more), so that the general pipeline answers. */
	readonly general?: boolean;
	/** X25519 public key: replies are sealed to it. */
	readonly replyKey?: string;
	/** Requests a second with a wrong key beside the others, on connections of their own. */
	readonly wrong?: { readonly perSecond: number; readonly token: string };
}

/** What came of it. */
export interface LoadResult {
	readonly answers: number;
	readonly perSecond: number;
	/** Milliseconds. */
	readonly p50: number;
	readonly p90: number;
	readonly p99: number;
	readonly max: number;
	/** From the first byte sent to the last answer, in seconds. */
	readonly lastAnswerSeconds: number;
	/** Answers with another status than 200; those to wrong keys are not among them. */
	readonly refused: number;
	readonly wrongAnswers: number;
	/** The generator's own processor time over the time that passed. */
	readonly cpuShare: number;
}

/** Ids of one run never meet those of another. */
const run = Buffer.from(crypto.getRandomValues(new Uint8Array(8))).toString("hex");
let asked = 0;

function requestOf(load: EnrollLoad): () => string {
	const { credential, replyKey } = load;
	const tail = replyKey === undefined ? "" : `,"replyKey":${JSON.stringify(replyKey)}`;
	const head = `{"query":${JSON.stringify(load.general === true ? `${enrollDocument} ` : enrollDocument)},"variables":{"input":{"enrollmentId":"`;
	const http = `POST /graphql HTTP/1.1\r\nHost: 127.0.0.1:${load.port}\r\nContent-Type: application/json\r\nAccept: application/graphql-response+json, application/json\r\nContent-Length: `;
	return () => {
		const number = (++asked).toString(16).padStart(16, "0");
		const enrollmentId = `${run}${number}`;
		const machineUid = `uid-${run}${number}`;
		const name = `robot-${number.slice(8)}`;
		const proof =
			"autoSecret" in credential ? { autoEnrollment: signed(credential.autoSecret, enrollmentId, name, machineUid) } : credential;
		const body = `${head}${enrollmentId}","credential":${JSON.stringify(proof)},"worker":{"name":"${name}","hostname":"${name}","machineUid":"${machineUid}","platform":"linux-x64","version":"0.1.0"}${tail}}}}`;
		return `${http}${body.length}\r\n\r\n${body}`;
	};
}

function signed(secret: string, enrollmentId: string, name: string, machineUid: string) {
	const [nonce, timestamp] = [createHmac("sha256", "nonce").update(enrollmentId).digest("hex").slice(0, 32), new Date().toISOString()];
	return {
		nonce,
		timestamp,
		mac: autoEnrollmentMac(secret, { tenant: "default", enrollmentId, name, requestedId: null, machineUid, nonce, timestamp }),
	};
}

interface Client {
	text: string;
	answered: (status: string) => void;
}

function connect(port: number): Promise<Bun.Socket<Client>> {
	return Bun.connect<Client>({
		hostname: "127.0.0.1",
		port,
		data: { text: "", answered() {} },
		socket: {
			data(socket, chunk) {
				const { data } = socket;
				data.text = data.text === "" ? chunk.toString("latin1") : data.text + chunk.toString("latin1");
				const end = data.text.indexOf("\r\n\r\n");
				if (end < 0) return;
				const length = Number(/content-length: *(\d+)/i.exec(data.text)?.[1] ?? Number.NaN);
				if (data.text.length < end + 4 + length) return;
				const status = data.text.slice(9, 12);
				data.text = "";
				data.answered(status);
			},
			close(socket) {
				socket.data.answered("cut");
			},
			error() {},
		},
	});
}

async function connectAll(port: number, count: number): Promise<Bun.Socket<Client>[]> {
	const sockets: Bun.Socket<Client>[] = [];
	// The listen queue is shorter than a burst: connections are not what is measured.
	while (sockets.length < count) {
		const some = Math.min(128, count - sockets.length);
		sockets.push(...(await Promise.all(Array.from({ length: some }, () => connect(port)))));
	}
	return sockets;
}

async function main(): Promise<void> {
	const load = JSON.parse(process.env["LOAD"] ?? "{}") as EnrollLoad;
	const make = requestOf(load);
	const sockets = await connectAll(load.port, load.clients);
	const latencies: number[] = [];
	let [refused, over, lastAnswer] = [0, false, 0];
	const began = performance.now();
	const countFrom = load.once === true ? began : began + load.warmSeconds * 1_000;
	const countTo = load.once === true ? Number.POSITIVE_INFINITY : countFrom + load.seconds * 1_000;
	let cpu = process.cpuUsage();
	let cpuFrom = began;
	if (load.once !== true)
		setTimeout(() => {
			cpu = process.cpuUsage();
			cpuFrom = performance.now();
		}, load.warmSeconds * 1_000);
	const wrong = load.wrong === undefined ? undefined : await annoy(load, load.wrong);
	await Promise.all(
		sockets.map(
			(socket) =>
				new Promise<void>((done) => {
					let sentAt = 0;
					const ask = () => {
						sentAt = performance.now();
						socket.write(make());
					};
					socket.data.answered = (status) => {
						const now = performance.now();
						if (now >= countFrom && now < countTo) {
							if (status === "200") latencies.push(now - sentAt);
							else refused++;
							lastAnswer = now;
						}
						if (load.once === true || now >= countTo || status === "cut") {
							over = now >= countTo;
							done();
						} else ask();
					};
					ask();
				}),
		),
	);
	void over;
	const spent = process.cpuUsage(cpu);
	const elapsedMs = performance.now() - cpuFrom;
	latencies.sort((left, right) => left - right);
	const seconds = load.once === true ? (lastAnswer - began) / 1_000 : load.seconds;
	const result: LoadResult = {
		answers: latencies.length,
		perSecond: latencies.length / seconds,
		p50: percentile(latencies, 0.5),
		p90: percentile(latencies, 0.9),
		p99: percentile(latencies, 0.99),
		max: latencies.at(-1) ?? Number.NaN,
		lastAnswerSeconds: (lastAnswer - began) / 1_000,
		refused,
		wrongAnswers: wrong?.() ?? 0,
		cpuShare: (spent.user + spent.system) / 1_000 / elapsedMs,
	};
	process.stdout.write(`${JSON.stringify(result)}\n`);
	process.exit(0);
}

/** Wrong keys at a steady rate over 32 connections. Returns the count of answers so far. */
async function annoy(load: EnrollLoad, wrong: NonNullable<EnrollLoad["wrong"]>): Promise<() => number> {
	const make = requestOf({ ...load, credential: { enrollmentKey: wrong.token } });
	const idle = await connectAll(load.port, 32);
	let [due, answers] = [0, 0];
	for (const socket of idle)
		socket.data.answered = () => {
			answers++;
			idle.push(socket);
		};
	setInterval(() => {
		due = Math.min(due + wrong.perSecond / 200, 32);
		for (; due >= 1; due--) idle.pop()?.write(make());
	}, 5);
	return () => answers;
}

await main();
