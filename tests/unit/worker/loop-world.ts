import { silentLog } from "../../../src/lib/log.ts";
import type { Random } from "../../../src/lib/random.ts";
import { Secret } from "../../../src/lib/secret.ts";
import type { EnrollAnswer } from "../../../worker/client.ts";
import type { Enrollment } from "../../../worker/enrollment.ts";
import type { Identity } from "../../../worker/identity.ts";
import { startLoop } from "../../../worker/loop.ts";
import type { Assignment, Loop, LoopDeps } from "../../../worker/loop-port.ts";
import type { CheckVerdict } from "../../../worker/machine-state.ts";
import type { HeartbeatInput, Socket, SocketListener } from "../../../worker/socket.ts";
import { FakeTime } from "./fake-time.ts";

const endpoint = { http: "http://server/graphql", ws: "ws://server/graphql" };
const identity: Identity = { credential: { workerId: "wrk_1", apiKey: new Secret("key") }, server: undefined };

/** A socket whose other side the test plays. */
export class PlayedSocket implements Socket {
	readonly beats: HeartbeatInput[] = [];
	readonly listener: SocketListener;
	terminated = false;
	closed = false;
	answer: "reply" | "refuse" | "silence" = "reply";
	nextInSeconds = 10;

	constructor(listener: SocketListener) {
		this.listener = listener;
	}

	beat(input: HeartbeatInput): Promise<{ serverTime: string; nextInSeconds: number }> {
		this.beats.push(input);
		if (this.answer === "refuse") return Promise.reject(new Error("not now"));
		if (this.answer === "silence") return new Promise(() => {});
		return Promise.resolve({ serverTime: "", nextInSeconds: this.nextInSeconds });
	}

	ask(): Promise<unknown> {
		return Promise.reject(new Error("not played"));
	}

	listen(): void {}

	terminate(): void {
		this.terminated = true;
		this.listener.closed({ code: 1006, why: "gone", upgradeStatus: undefined });
	}

	close(): Promise<void> {
		this.closed = true;
		return Promise.resolve();
	}
}

/** A loop with a played world. Jitter is always half of its range. */
export class World {
	readonly time = new FakeTime();
	readonly sockets: PlayedSocket[] = [];
	verdict: CheckVerdict = "refused";
	checks = 0;
	holdsLock = true;
	code: number | undefined;

	start(work: Partial<Assignment> = {}, deps: Partial<LoopDeps> = {}): Loop {
		const random: Random = { bytes: (length) => new Uint8Array(length), fraction: () => 0.5 };
		const loop = startLoop(
			{
				clock: this.time,
				random,
				timers: this.time,
				log: silentLog,
				openSocket: (_endpoint, _credential, _name, listener) => {
					const socket = new PlayedSocket(listener);
					this.sockets.push(socket);
					return socket;
				},
				check: () => {
					this.checks += 1;
					return Promise.resolve(this.verdict);
				},
				readVitals: () => ({ memoryUsedBytes: 1, uptimeSeconds: 1 }),
				touchLock: () => this.holdsLock,
				...deps,
			},
			{
				identity,
				enrollment: undefined,
				enrollsAgain: false,
				enrollOnlySeconds: undefined,
				endpointFor: () => endpoint,
				nameFor: () => undefined,
				...work,
			},
		);
		void loop.done.then((code) => {
			this.code = code;
		});
		return loop;
	}

	/** The newest socket. */
	get socket(): PlayedSocket {
		const socket = this.sockets.at(-1);
		if (socket === undefined) throw new Error("No socket was opened");
		return socket;
	}
}

/** An enrollment whose calls get these answers, the last one again and again. */
export function played(answers: readonly (EnrollAnswer | Error)[], kept?: Error): Enrollment & { sent: number } {
	return {
		signed: false,
		sent: 0,
		send() {
			const answer = answers[this.sent] ?? answers.at(-1);
			this.sent += 1;
			if (answer === undefined || answer instanceof Error) return Promise.reject(answer ?? new Error("no answer was played"));
			return Promise.resolve(answer);
		},
		keep: () => (kept === undefined ? Promise.resolve({ identity }) : Promise.reject(kept)),
		forget() {},
		correctClock() {},
	};
}

/** The answer that lets the worker in. */
export const enrolled: EnrollAnswer = {
	kind: "replied",
	reply: {
		__typename: "Enrolled",
		workerId: "wrk_1",
		hostId: "host_1",
		name: "a",
		outcome: "NEW",
		apiKey: null,
		sealedApiKey: "",
		serverAddress: null,
		heartbeatIntervalSeconds: 15,
		mesh: null,
	},
};
/** No answer this time. */
export const unanswered: EnrollAnswer = { kind: "unanswered", why: "nobody there", permanent: false };
