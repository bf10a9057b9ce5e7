/**
 * PostGraphile 5 over the schema "bench" (postgraphile.sql), on Node, as somebody who wants speed would set it up: production mode, nothing
 * watched, no GraphiQL, no WebSockets, operations parsed and planned once, prepared statements. Says its port on stdout.
 */
import { createServer } from "node:http";
import { createRequire } from "node:module";
import process from "node:process";

const { PARTS = "", DATABASE_URL = "", POOL = "10" } = process.env;
const load = createRequire(`${PARTS}/`);
const { postgraphile } = load("postgraphile");
const { PostGraphileAmberPreset } = load("postgraphile/presets/amber");
const { makePgService } = load("postgraphile/adaptors/pg");
const { grafserv } = load("postgraphile/grafserv/node");

const instance = postgraphile({
	extends: [PostGraphileAmberPreset],
	pgServices: [makePgService({ connectionString: DATABASE_URL, schemas: ["bench"], poolConfig: { max: Number(POOL) } })],
	grafserv: { watch: false, graphiql: false, websockets: false },
	grafast: { explain: false },
});
const server = createServer();
await instance.createServ(grafserv).addTo(server);
await instance.getSchema();
server.listen(0, "127.0.0.1", () => process.stdout.write(`${JSON.stringify({ port: server.address().port })}\n`));
