/** A wire to PostgreSQL that a test can cut and mend: TCP on this machine, bytes passed on as they are. */
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";

export interface Wire {
	/** The database's address through the wire. */
	readonly url: string;
	/** Ends every connection; new ones are refused until it is mended. */
	cut(): Promise<void>;
	/** Takes connections again, on the same port. */
	mend(): Promise<void>;
}

/** Opens one to the database of this address. Close it with `cut`. */
export async function openWire(databaseUrl: string): Promise<Wire> {
	const url = new URL(databaseUrl);
	const directory = url.searchParams.get("host");
	const port = Number(url.port || 5432);
	const open = () => (directory?.startsWith("/") ? connect(join(directory, `.s.PGSQL.${port}`)) : connect(port, url.hostname));
	const sockets = new Set<Socket>();
	const keep = (socket: Socket, other: Socket) => {
		sockets.add(socket);
		// What ends on one side ends on the other; the reason is of no interest to it.
		socket.on("error", () => other.destroy());
		socket.on("close", () => {
			sockets.delete(socket);
			other.destroy();
		});
	};
	let server: Server;
	const listen = async (at: number) => {
		server = createServer((near) => {
			const far = open();
			keep(near, far);
			keep(far, near);
			near.pipe(far).pipe(near);
		});
		await new Promise<void>((resolve, reject) => {
			server.once("error", reject);
			server.listen(at, "127.0.0.1", resolve);
		});
		return (server.address() as AddressInfo).port;
	};
	const taken = await listen(0);
	const through = new URL(databaseUrl);
	through.searchParams.delete("host");
	through.hostname = "127.0.0.1";
	through.port = String(taken);
	return {
		url: through.href,
		async cut() {
			const closed = new Promise((resolve) => server.close(resolve));
			for (const socket of sockets) socket.destroy();
			await closed;
		},
		mend: async () => void (await listen(taken)),
	};
}
