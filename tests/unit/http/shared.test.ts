/** Subscriptions that ask for the same are served as one: what each reader gets stays its own. */
import { expect, test } from "bun:test";
import { type ExecutionArgs, type ExecutionResult, type GraphQLSchema, parse } from "graphql";
import { type ReaderSocket, type Sharing, subscriptionGroups } from "../../../src/http/shared.ts";
import { boundedQueue, type Queue } from "../../../src/lib/queue.ts";
import { until } from "../../support/until.ts";

const text = "subscription { a }";
const args = (variableValues: Record<string, unknown> = {}): ExecutionArgs => ({
	schema: {} as GraphQLSchema,
	document: parse(text),
	variableValues,
	contextValue: { mine: true },
});

/** A stage: sources that a test feeds, and what was asked of them. */
function stage(backlogMax = 4) {
	const sources: (Queue<ExecutionResult> & { stopped: boolean; readonly context: Record<string, unknown> })[] = [];
	let serialised = 0;
	const groups = subscriptionGroups({
		backlogMax,
		serialise: (result) => {
			serialised++;
			return JSON.stringify(result);
		},
	});
	const subscribe = ({ contextValue }: ExecutionArgs): AsyncIterable<ExecutionResult> => {
		const source = Object.assign(boundedQueue<ExecutionResult>(1_000), {
			stopped: false,
			context: contextValue as Record<string, unknown>,
		});
		sources.push(source);
		const items = source[Symbol.asyncIterator]();
		return {
			[Symbol.asyncIterator]: () => ({
				next: () => items.next(),
				return: async () => {
					source.stopped = true;
					source.close();
					return { done: true, value: undefined };
				},
			}),
		};
	};
	return { sources, groups, subscribe, serialised: () => serialised };
}

/** A reader whose link can be stopped and let go. */
function link() {
	const heard: string[] = [];
	let room: PromiseWithResolvers<void> | undefined;
	const state = { fellBehind: 0 };
	const socket: ReaderSocket = {
		push(texts) {
			heard.push(...texts);
			return room?.promise;
		},
		fellBehind: () => void state.fellBehind++,
	};
	return {
		socket,
		heard,
		state,
		stop() {
			room = Promise.withResolvers();
		},
		go() {
			room?.resolve();
			room = undefined;
		},
	};
}

function sharing(key = "tenant viewer", more: Partial<Sharing> = {}) {
	const counts: number[] = [];
	const made: Sharing = {
		key,
		context: () => ({ principal: "the group's" }),
		endsInMs: undefined,
		ended: () => new Error("expired"),
		counted: (change) => void counts.push(change),
		...more,
	};
	return { made, counts };
}

type Stage = ReturnType<typeof stage>;

async function join(there: Stage, id: string, to: ReaderSocket, as = sharing().made, variables?: Record<string, unknown>) {
	const joined = await there.groups.join({ id, args: args(variables), text, sharing: as }, to, there.subscribe);
	if (!(Symbol.asyncIterator in joined)) throw new Error("It was refused");
	return joined[Symbol.asyncIterator]();
}

const event = (a: number): ExecutionResult => ({ data: { a } });
const frame = (id: string, a: number) => `{"id":"${id}","type":"next","payload":{"data":{"a":${a}}}}`;

test("readers of the same get one execution and one text, each under its own id (G7)", async () => {
	const there = stage();
	const [one, two] = [link(), link()];
	await join(there, "1", one.socket);
	await join(there, "2", two.socket);
	expect(there.sources.length).toBe(1);
	there.sources[0]?.push(event(7));
	there.sources[0]?.push(event(8));
	await until("both have heard", () => one.heard.length === 2 && two.heard.length === 2);
	expect(one.heard).toEqual([frame("1", 7), frame("1", 8)]);
	expect(two.heard).toEqual([frame("2", 7), frame("2", 8)]);
	expect(there.serialised()).toBe(2);
});

test("another tenant or role, other variables: another group, so nobody sees what is not theirs (S10)", async () => {
	const there = stage();
	const links = [link(), link(), link(), link()] as const;
	await join(there, "1", links[0].socket);
	await join(there, "1", links[1].socket, sharing("another tenant").made);
	await join(there, "1", links[2].socket, sharing("tenant admin").made);
	await join(there, "1", links[3].socket, sharing().made, { site: "x" });
	expect(there.groups.size).toBe(4);
	there.sources[0]?.push(event(1));
	await until("the first has heard", () => links[0].heard.length === 1);
	expect(links.slice(1).map(({ heard }) => heard.length)).toEqual([0, 0, 0]);
});

test("a slow reader gets all that waited once it reads again, and the others never wait for it (G7)", async () => {
	const there = stage();
	const [slow, quick] = [link(), link()];
	await join(there, "s", slow.socket);
	await join(there, "q", quick.socket);
	slow.stop();
	for (let a = 1; a <= 4; a++) {
		there.sources[0]?.push(event(a));
		await until("the quick one has heard", () => quick.heard.length === a);
	}
	expect(slow.heard).toEqual([frame("s", 1)]);
	slow.go();
	await until("the slow one has caught up", () => slow.heard.length === 4);
	expect(slow.heard).toEqual([1, 2, 3, 4].map((a) => frame("s", a)));
	expect(slow.state.fellBehind).toBe(0);
});

test("a reader past its backlog falls behind alone: no gap for it, nothing for the others (G7)", async () => {
	const there = stage(2);
	const [stuck, quick] = [link(), link()];
	const left = (await join(there, "s", stuck.socket)).next();
	await join(there, "q", quick.socket);
	stuck.stop();
	for (let a = 1; a <= 5; a++) {
		there.sources[0]?.push(event(a));
		await until("the quick one has heard", () => quick.heard.length === a);
	}
	expect(stuck.state.fellBehind).toBe(1);
	expect(stuck.heard).toEqual([frame("s", 1)]);
	expect((await left).done).toBe(true);
	expect(quick.heard).toEqual([1, 2, 3, 4, 5].map((a) => frame("q", a)));
	expect(quick.state.fellBehind).toBe(0);
});

test("what waits for a reader that has left is not sent: its id may name another operation by then (S10)", async () => {
	const there = stage();
	const [slow, quick] = [link(), link()];
	const reader = await join(there, "s", slow.socket);
	await join(there, "q", quick.socket);
	slow.stop();
	for (let a = 1; a <= 3; a++) {
		there.sources[0]?.push(event(a));
		await until("the quick one has heard", () => quick.heard.length === a);
	}
	await reader.return?.();
	slow.go();
	there.sources[0]?.push(event(4));
	await until("the quick one has heard the last", () => quick.heard.length === 4);
	expect(slow.heard).toEqual([frame("s", 1)]);
});

test("the source runs until the last reader has left, and is counted once for each reader", async () => {
	const there = stage();
	const { made, counts } = sharing();
	const readers = await Promise.all(["1", "2", "3"].map((id) => join(there, id, link().socket, made)));
	expect(counts).toEqual([1, 1]);
	await readers[0]?.return?.();
	await readers[2]?.return?.();
	expect(there.sources[0]?.stopped).toBe(false);
	expect(counts).toEqual([1, 1, -1, -1]);
	await readers[1]?.return?.();
	expect(there.sources[0]?.stopped).toBe(true);
	expect(there.groups.size).toBe(0);
	await join(there, "4", link().socket, made);
	expect(there.sources.length).toBe(2);
});

test("a token that runs out ends its own reader with the reason, and no other (S8)", async () => {
	const there = stage();
	const [short, long] = [link(), link()];
	const ending = (await join(there, "s", short.socket, sharing(undefined, { endsInMs: 1 }).made)).next();
	await join(there, "l", long.socket);
	await ending.then(
		() => expect.unreachable(),
		(error: Error) => expect(error.message).toBe("expired"),
	);
	there.sources[0]?.push(event(1));
	await until("the other has heard", () => long.heard.length === 1);
	expect(short.heard).toEqual([]);
	expect(there.sources[0]?.context["principal"]).toBe("the group's");
});

test("a source that fails ends every reader with its error", async () => {
	const there = stage();
	const [one, two] = [await join(there, "1", link().socket), await join(there, "2", link().socket)];
	const endings = [one, two].map((reader) => reader.next().catch((error: Error) => error));
	there.sources[0]?.close(new Error("the source failed"));
	for (const ending of endings) expect(await ending).toEqual(new Error("the source failed"));
	expect(there.groups.size).toBe(0);
});

test("who looked up what was not there is not joined: it may be there for the next (S10)", async () => {
	const there = stage();
	await join(there, "1", link().socket);
	const alone = there.sources[0]?.context["alone"];
	if (typeof alone === "function") alone();
	await join(there, "2", link().socket);
	expect(there.sources.length).toBe(2);
});

test("what is refused is refused to whoever asked, and kept for nobody", async () => {
	const there = stage();
	const refusal: ExecutionResult = { errors: [] };
	const what = { id: "1", args: args(), text, sharing: sharing().made };
	expect(await there.groups.join(what, link().socket, () => Promise.resolve(refusal))).toBe(refusal);
	expect(there.groups.size).toBe(0);
	const joining = there.groups.join(what, link().socket, () => Promise.reject(new Error("no")));
	expect(await Promise.resolve(joining).catch(String)).toBe("Error: no");
	await until("it is forgotten", () => there.groups.size === 0);
});
