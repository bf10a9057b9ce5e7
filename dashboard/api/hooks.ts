/** Queries and subscriptions as hooks. */
import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, connection, follow, generation, send } from "./client.ts";
import type { Document, ResultOf, VariablesOf } from "./graphql.ts";

export interface Answer<T> {
	/** The last answer, also while the next is on its way. */
	readonly data: T | undefined;
	readonly error: ApiError | undefined;
	readonly reload: () => void;
}

/** Milliseconds between two readings that events ask for: a thousand events cost one. */
const calmMs = 1_000;

/** Reads, and reads anew when the variables change or a lost connection is back. */
export function useQuery<D extends Document<unknown, never>>(operation: D, variables: VariablesOf<D>): Answer<ResultOf<D>> {
	const [answer, setAnswer] = useState<{ data: ResultOf<D> | undefined; error: ApiError | undefined }>({
		data: undefined,
		error: undefined,
	});
	const [asked, ask] = useState(0);
	const key = JSON.stringify(variables);
	const shown = useRef(key);
	const since = generation.value;
	const isLive = connection.value === "live";
	// The variables count by their value, which is the key
	useEffect(() => {
		let over = false;
		let again: ReturnType<typeof setTimeout> | undefined;
		if (shown.current !== key) setAnswer({ data: undefined, error: undefined });
		shown.current = key;
		send(operation, variables).then(
			(data) => over || setAnswer({ data, error: undefined }),
			(error: unknown) => {
				if (over) return;
				const known = error instanceof ApiError ? error : new ApiError("ERROR", String(error));
				setAnswer((last) => ({ data: last.data, error: known }));
				if (known.code === "UNREACHABLE") again = setTimeout(() => ask((count) => count + 1), 2_000);
			},
		);
		return () => {
			over = true;
			clearTimeout(again);
		};
	}, [operation, key, asked, since, isLive && answer.error !== undefined]);
	return { ...answer, reload: () => ask((count) => count + 1) };
}

/** Follows a subscription while the component is there; the newest `take` gets the events. */
export function useLive<D extends Document<unknown, never>>(
	operation: D,
	variables: VariablesOf<D> | undefined,
	take: (event: ResultOf<D>) => void,
): void {
	const newest = useRef(take);
	newest.current = take;
	const key = JSON.stringify(variables);
	// The variables count by their value, which is the key
	useEffect(() => (variables === undefined ? undefined : follow(operation, variables, (event) => newest.current(event))), [operation, key]);
}

/** A function that calls `work` soon, and at most once a second however often it is called. */
export function useCalm(work: () => void): () => void {
	const newest = useRef(work);
	newest.current = work;
	const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
	const last = useRef(0);
	useEffect(() => () => clearTimeout(timer.current), []);
	return () => {
		if (timer.current !== undefined) return;
		timer.current = setTimeout(
			() => {
				timer.current = undefined;
				last.current = performance.now();
				newest.current();
			},
			Math.max(50, last.current + calmMs - performance.now()),
		);
	};
}

/** Calls `work` every few seconds while the page is looked at: for figures that no subscription carries. */
export function useEvery(ms: number, work: () => void): void {
	const newest = useRef(work);
	newest.current = work;
	useEffect(() => {
		const timer = setInterval(() => document.hidden || newest.current(), ms);
		return () => clearInterval(timer);
	}, [ms]);
}

/** Runs mutations one at a time and keeps what they were refused with. */
export function useAction(): {
	readonly busy: boolean;
	readonly error: ApiError | undefined;
	readonly run: (work: () => Promise<unknown>) => Promise<boolean>;
} {
	const [state, setState] = useState<{ busy: boolean; error: ApiError | undefined }>({ busy: false, error: undefined });
	async function run(work: () => Promise<unknown>): Promise<boolean> {
		setState({ busy: true, error: undefined });
		try {
			await work();
			setState({ busy: false, error: undefined });
			return true;
		} catch (error) {
			setState({ busy: false, error: error instanceof ApiError ? error : new ApiError("ERROR", String(error)) });
			return false;
		}
	}
	return { ...state, run };
}
