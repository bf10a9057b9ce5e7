import { within } from "../lib/within.ts";

/** One thing the server needs. */
export interface HealthCheck {
	readonly name: string;
	readonly ok: boolean;
	/** Why not; for operators, so no secret and no address of a database. */
	readonly reason?: string | undefined;
	/** The server does its work without it, but for a part: told, and no reason to send nobody here. */
	readonly optional?: boolean;
}

const deadlineMs = 2_000;

/** The process answers: that is all. */
export function live(): Response {
	return reply(200, { status: "live" });
}

/** 200 when every check that counts is well (`degraded` when an optional one is not), else 503; always with the reasons. A check that throws or takes more than two seconds has failed. */
export async function readiness(ready: () => Promise<readonly HealthCheck[]>, stopping: boolean): Promise<Response> {
	if (stopping) return reply(503, { status: "stopping", checks: [] });
	const failed = (reason: string): readonly HealthCheck[] => [{ name: "checks", ok: false, reason }];
	let checks = failed(`no answer within ${deadlineMs / 1_000} seconds`);
	const asking = ready().then(
		(result) => {
			checks = result;
		},
		(error: unknown) => {
			checks = failed(error instanceof Error ? error.message : String(error));
		},
	);
	await within(asking, deadlineMs);
	const isReady = checks.every(({ ok, optional }) => ok || optional === true);
	const status = !isReady ? "unready" : checks.every(({ ok }) => ok) ? "ready" : "degraded";
	return reply(isReady ? 200 : 503, { status, checks });
}

function reply(status: number, body: object): Response {
	return Response.json(body, { status, headers: { "cache-control": "no-store" } });
}
