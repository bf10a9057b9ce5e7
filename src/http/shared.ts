/**
 * Subscriptions that ask for the same run once. Who may see what decides what is the same: one group is one document with one set of
 * variables and one authorization. A group runs its source and resolvers once for each event and makes one text of it; every reader gets that
 * text, under the id of its own operation.
 *
 * A reader that takes nothing keeps its own backlog, bounded; past the bound it is closed with 4413 and nobody else notices. What ends the
 * group (its source failed) ends all of its readers with that error; what ends one reader (it left, its token ran out) ends that one.
 */
import { clearTimeout, setImmediate, setTimeout } from "node:timers";
import type { ExecutionArgs, ExecutionResult } from "graphql";

/** Results as the general pipeline gives them, masked. */
export type Results = AsyncIterable<ExecutionResult>;

/** What makes two subscriptions of one document and variables the same. */
export interface Sharing {
	/** Names the authorization: whoever has the same may see the same. */
	readonly key: string;
	/** What the group's context has in place of the reader's: its authorization, without what is its own. */
	context(): object;
	/** When this reader's authorization ends, and with what; undefined: never. */
	readonly endsInMs: number | undefined;
	ended(): Error;
	/** One more reader, or one less, than the group's source knows of. */
	counted(change: 1 | -1): void;
}

/** One reader's way out. */
export interface ReaderSocket {
	push(texts: readonly string[]): Promise<void> | undefined;
	/** Closes the socket: its reader is too slow. */
	fellBehind(): void;
}

export interface GroupsOptions {
	/** The result's text, as it stands in a `next` message. */
	readonly serialise: (result: ExecutionResult) => string;
	/** Texts that wait for one reader at most; they are the group's own, so each costs a pointer. */
	readonly backlogMax: number;
}

/** Texts that are gathered before they are sent though more come. */
const gatheredMax = 256;
/** Timers take at most 2^31 - 1 ms. */
const timerMsMax = 2_147_483_647;

interface Reader {
	readonly before: string;
	readonly socket: ReaderSocket;
	/** Texts that wait for room; undefined while there is room. */
	backlog: string[] | undefined;
	end(error?: unknown): void;
}

interface Group {
	readonly readers: Set<Reader>;
	readonly started: Promise<Results | ExecutionResult>;
	/** Whether more may join: not when it looked up something that was not there, which may come to be. */
	open: boolean;
	leave(): void;
}

/** Makes the groups of one process. */
export function subscriptionGroups({ serialise, backlogMax }: GroupsOptions) {
	const groups = new Map<string, Group>();

	function start(key: string, args: ExecutionArgs, sharing: Sharing, subscribe: (args: ExecutionArgs) => unknown): Group {
		let results: AsyncIterator<ExecutionResult> | undefined;
		const own = args.contextValue as object;
		const contextValue = { ...own, ...sharing.context(), socket: undefined, alone: () => forget(), fellBehind };
		const group: Group = {
			readers: new Set(),
			open: true,
			started: Promise.resolve(subscribe({ ...args, contextValue }) as Results | ExecutionResult),
			leave() {
				forget();
				void results?.return?.();
			},
		};
		/** The group itself is too slow for what happens: all of its readers have a gap. */
		function fellBehind(): void {
			for (const reader of group.readers) reader.socket.fellBehind();
		}
		function forget(): void {
			group.open = false;
			if (groups.get(key) === group) groups.delete(key);
		}
		groups.set(key, group);
		group.started.then(
			(made) => {
				if (!isResults(made)) return forget();
				results = made[Symbol.asyncIterator]();
				// All left while it began.
				if (group.readers.size === 0) return group.leave();
				return read(group, results).finally(forget);
			},
			() => forget(),
		);
		return group;
	}

	/** Hands every result to all readers: those of one turn of the loop together, since a system call for each is what sending costs. */
	async function read(group: Group, results: AsyncIterator<ExecutionResult>): Promise<void> {
		let texts: string[] = [];
		const flush = () => {
			const ready = texts;
			texts = [];
			if (ready.length > 0) deliver(group.readers, ready);
		};
		try {
			for (;;) {
				const { done, value } = await results.next();
				if (done === true) break;
				if (texts.length === 0) setImmediate(flush);
				texts.push(`${serialise(value)}}`);
				if (texts.length >= gatheredMax) flush();
			}
			flush();
			for (const reader of group.readers) reader.end();
		} catch (error) {
			flush();
			for (const reader of group.readers) reader.end(error);
		}
	}

	function deliver(readers: ReadonlySet<Reader>, texts: readonly string[]): void {
		// Clients of one kind often number their operations alike: what is the same for them is made once.
		let before = "";
		let framed: readonly string[] = [];
		for (const reader of readers) {
			if (reader.before !== before) {
				before = reader.before;
				framed = texts.map((text) => before + text);
			}
			if (reader.backlog === undefined) send(reader, framed);
			else if (reader.backlog.length + texts.length <= backlogMax) reader.backlog.push(...framed);
			else {
				reader.end();
				reader.socket.fellBehind();
			}
		}
	}

	function send(reader: Reader, texts: readonly string[]): void {
		const full = reader.socket.push(texts);
		if (full === undefined) return;
		reader.backlog = [];
		full.then(
			() => {
				const waiting = reader.backlog ?? [];
				reader.backlog = undefined;
				if (waiting.length > 0) send(reader, waiting);
			},
			// The socket has gone, and with it the operation.
			() => reader.end(),
		);
	}

	return {
		/**
		 * Joins the group of this operation, or opens it. What comes back yields nothing: results go to the reader's socket as they are; it ends
		 * when the subscription does. An ExecutionResult when the subscription was refused.
		 */
		async join(
			what: { readonly id: string; readonly args: ExecutionArgs; readonly text: string; readonly sharing: Sharing },
			socket: ReaderSocket,
			subscribe: (args: ExecutionArgs) => unknown,
		): Promise<Results | ExecutionResult> {
			const { id, args, text, sharing } = what;
			const key = JSON.stringify([sharing.key, text, args.operationName ?? null, args.variableValues ?? null]);
			const known = groups.get(key);
			const group = known?.open === true ? known : start(key, args, sharing, subscribe);
			const over = Promise.withResolvers<IteratorReturnResult<undefined>>();
			// A reader that left before anybody asked for the end is no unhandled rejection.
			over.promise.catch(() => {});
			let isOver = false;
			let expiry: ReturnType<typeof setTimeout> | undefined;
			const reader: Reader = {
				before: `{"id":${JSON.stringify(id)},"type":"next","payload":`,
				socket,
				backlog: undefined,
				end(error) {
					if (isOver) return;
					isOver = true;
					clearTimeout(expiry);
					// The client has heard the end: what waits would reach whatever has this id next.
					reader.backlog = undefined;
					group.readers.delete(reader);
					if (group.readers.size === 0) group.leave();
					else sharing.counted(-1);
					if (error === undefined) over.resolve({ done: true, value: undefined });
					else over.reject(error);
				},
			};
			if (group.readers.size > 0) sharing.counted(1);
			group.readers.add(reader);
			let started: Results | ExecutionResult;
			try {
				started = await group.started;
			} catch (error) {
				reader.end();
				throw error;
			}
			if (!isResults(started)) {
				reader.end();
				return started;
			}
			const { endsInMs } = sharing;
			if (endsInMs !== undefined && endsInMs <= timerMsMax) expiry = setTimeout(() => reader.end(sharing.ended()), Math.max(0, endsInMs));
			return reading(over.promise, () => reader.end());
		},
		/** How many groups run. */
		get size() {
			return groups.size;
		},
	};
}

/** An iteration without items that lasts until `over` settles. */
function reading(over: Promise<IteratorReturnResult<undefined>>, leave: () => void): AsyncGenerator<ExecutionResult, void> {
	const done = { done: true, value: undefined } as const;
	return {
		next: () => over,
		async return() {
			leave();
			return done;
		},
		async throw(error) {
			leave();
			throw error;
		},
		[Symbol.asyncIterator]() {
			return this;
		},
		async [Symbol.asyncDispose]() {
			leave();
		},
	};
}

function isResults(made: Results | ExecutionResult): made is Results {
	return Symbol.asyncIterator in made;
}
