import type postgres from "postgres";
import type { Log } from "../lib/log.ts";
import type { Listening } from "./port.ts";

/**
 * LISTEN on a connection of its own, which the driver opens anew when it is lost. `onGap` is called on each (re)connect: notifications
 * sent meanwhile are gone. Resolves once the first LISTEN is in force.
 */
export async function listenOn(
	open: () => postgres.Sql<{ bigint: bigint }>,
	channel: string,
	onEvent: (payload: string) => void,
	onGap: () => void,
	log: Log,
): Promise<Listening> {
	const sql = open();
	await sql.listen(channel, onEvent, () => {
		log.debug("db.listening", { channel });
		onGap();
	});
	return { close: () => sql.end({ timeout: 1 }) };
}
