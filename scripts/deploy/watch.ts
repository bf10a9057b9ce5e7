/** What the server sees of a worker. */
import * as v from "valibot";
import { type Api, ask } from "../demo/live.ts";

const viewSchema = v.object({
	id: v.string(),
	name: v.string(),
	online: v.boolean(),
	version: v.nullable(v.string()),
	vitals: v.nullable(v.object({ at: v.string(), bootId: v.nullable(v.string()) })),
});
/** A worker as the server knows it. `vitals.bootId` changes with each start; `version` is what it said when it enrolled. */
export type WorkerView = v.InferOutput<typeof viewSchema>;
const replySchema = v.object({ worker: v.nullable(viewSchema) });
const query = "query ($id: ID!) { worker(id: $id) { id name online version vitals { at bootId } } }";
const deadlineMs = 15_000;

/** Asks for a worker; null when the server knows none that the token may see. Throws when the server does not answer, or refuses. */
export async function viewWorker(api: Api, id: string): Promise<WorkerView | null> {
	const { promise: late, reject } = Promise.withResolvers<never>();
	const timer = setTimeout(() => reject(new Error(`no answer within ${deadlineMs / 1000} s`)), deadlineMs);
	try {
		return (await Promise.race([ask(api, replySchema, query, { id }), late])).worker;
	} finally {
		clearTimeout(timer);
	}
}

/** Whether a heartbeat of another start than before has come. */
export function hasStartedAnew(before: WorkerView, now: WorkerView): boolean {
	const bootId = now.vitals?.bootId ?? null;
	return bootId !== null && bootId !== (before.vitals?.bootId ?? null);
}
