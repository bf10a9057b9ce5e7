/** The limits beside which sockets are put: graphql-ws as it comes on Bun (`/graphql`), and Bun's own `publish` (`/raw`), on one port. */
import { GraphQLFloat, GraphQLInputObjectType, GraphQLInt, GraphQLNonNull, GraphQLObjectType, GraphQLSchema, GraphQLString } from "graphql";
import { handleProtocols, makeHandler } from "graphql-ws/use/bun";
import process from "node:process";

const input = new GraphQLInputObjectType({
	name: "HeartbeatInput",
	fields: {
		sequence: { type: GraphQLInt },
		load1: { type: GraphQLFloat },
		memoryUsedBytes: { type: GraphQLFloat },
		uptimeSeconds: { type: GraphQLFloat },
	},
});
const reply = new GraphQLObjectType({
	name: "HeartbeatPayload",
	fields: { serverTime: { type: new GraphQLNonNull(GraphQLString) }, nextInSeconds: { type: new GraphQLNonNull(GraphQLInt) } },
});
const schema = new GraphQLSchema({
	query: new GraphQLObjectType({ name: "Query", fields: { a: { type: GraphQLInt } } }),
	mutation: new GraphQLObjectType({
		name: "Mutation",
		fields: {
			heartbeat: {
				type: reply,
				args: { input: { type: input } },
				resolve: () => ({ serverTime: new Date().toISOString(), nextInSeconds: 15 }),
			},
		},
	}),
});
const handler = makeHandler({ schema });
/** Sockets that were opened to hear what is published, and those of graphql-ws. */
type Data = { readonly raw: boolean };

const server = Bun.serve<Data>({
	port: 0,
	hostname: "127.0.0.1",
	async fetch(request, bun) {
		const { pathname } = new URL(request.url);
		if (request.method === "POST") {
			const { text, times } = (await request.json()) as { text: string; times: number };
			for (let time = 0; time < times; time++) bun.publish("events", text);
			return new Response("ok");
		}
		const protocol = handleProtocols(request.headers.get("sec-websocket-protocol") ?? "") || "";
		if (bun.upgrade(request, { data: { raw: pathname === "/raw" }, headers: { "sec-websocket-protocol": protocol } })) return undefined;
		return new Response(null, { status: 400 });
	},
	websocket: {
		open(ws) {
			if (ws.data.raw) ws.subscribe("events");
			else handler.open?.(ws as never);
		},
		message(ws, message) {
			// Whoever says hello is answered, so that one client opens both kinds; an echo fills the buffers of one that reads nothing.
			if (ws.data.raw) ws.send(message);
			else void handler.message(ws as never, message as never);
		},
		close(ws, code, reason) {
			if (!ws.data.raw) handler.close?.(ws as never, code, reason);
		},
	},
});
process.stdout.write(`${JSON.stringify({ port: server.port })}\n`);
