/** A stack of the owner's, for the walk over the schema. */
import type { Db } from "../../src/db/port.ts";

/** Has a stack deployed on the host of a worker that is away: its command waits. Returns what it chose the names of. */
export async function stackFor(
	db: Db,
	{ workerId }: { readonly workerId: string },
	mark: (what: string) => string,
	secret: (text: unknown) => string,
	does: (query: string, variables?: object) => Promise<unknown>,
) {
	const [stackName, stackService] = [mark("stack"), mark("service")];
	const environment = [{ key: "TOKEN", value: secret(mark("a-secret-of-the-stack")) }];
	const compose = `services: { ${stackService}: { image: "${mark("image")}", environment: [TOKEN] } }`;
	const move = (state: string) =>
		db.sql`update hosts set state = ${state}, last_known_state = ${state} where worker_id = ${workerId} returning id`;
	const [host] = await move("FUSED");
	const input = { hostId: String(host?.["id"]), name: stackName, compose, environment };
	await does("mutation ($input: DeployStackInput!) { deployStack(input: $input) { stack { id } } }", { input });
	await move("MONITORING");
	return { stackName, stackService };
}
