/**
 * Loads a server with enrollments from a process of its own: a closed loop of so many clients, each a machine of its own with every
 * request, on connections kept open; or so many at once. What to do comes as JSON in LOAD; what came of it goes to stdout as JSON.
 */
import process from "node:process";
import { percentile } from "../figures.ts";
import { admittedText, bodies, type EnrollRequest, headOf, numberLength } from "./enroll-request.ts";

/** What the load is. */
export interface EnrollLoad extends EnrollRequest {
	readonly port: number;
	readonly clients: number;
	/** Seconds before anything counts, and seconds that count; with `once` each client asks once and nothing else counts. */
	readonly warmSeconds: number;
	readonly seconds: number;
	readonly once?: boolean;
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
	/** Answers that let nobody in; those to wrong keys are not among them. */
	readonly refused: number;
	readonly wrongAnswers: number;
	/** The generator's own processor time over the time that passed. */
	readonly cpuShare: number;
	/** What made the load. */
	readonly generator?: "wrk" | "own";
}

let asked = 0;

function requestOf(load: EnrollLoad): () => string {
	const make = bodies(load);
	return () => {
		const body = make((++asked).toString(16).padStart(numberLength, "0"));
		return headOf(load.port, body.length) + body;
	};
}

interface Client {
	text: string;
	/** With the whole answer; undefined when the connection was cut. */
	answered: (answer: string | undefined) => void;
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
				const answer = data.text;
				data.text = "";
				data.answered(answer);
			},
			close(socket) {
				socket.data.answered(undefined);
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
	const admitted = admittedText(load);
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
					socket.data.answered = (answer) => {
						const now = performance.now();
						if (now >= countFrom && now < countTo) {
							if (answer?.startsWith("200", 9) === true && answer.includes(admitted)) latencies.push(now - sentAt);
							else refused++;
							lastAnswer = now;
						}
						if (load.once === true || now >= countTo || answer === undefined) {
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
	const answers = latencies.length;
	latencies.sort((left, right) => left - right);
	const seconds = load.once === true ? (lastAnswer - began) / 1_000 : load.seconds;
	// Of no answers there are no times, and JSON has no word for that.
	if (latencies.length === 0) latencies.push(0);
	const result: LoadResult = {
		answers,
		perSecond: answers / seconds,
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
