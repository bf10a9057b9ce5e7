/** What the driver and the system call a lost or refused connection. */
const connectionCodes = new Set([
	"CONNECTION_CLOSED",
	"CONNECTION_ENDED",
	"CONNECTION_DESTROYED",
	"CONNECT_TIMEOUT",
	"ECONNREFUSED",
	"ECONNRESET",
	"ENOENT",
	"EPIPE",
	"ETIMEDOUT",
	// SQLSTATE class 08, admin shutdown, crash shutdown, cannot connect now, too many connections.
	"08000",
	"08003",
	"08006",
	"57P01",
	"57P02",
	"57P03",
	"53300",
]);

/** Whether an error means that the database is away, so that every request would meet it; such a request may be tried again later. */
export function isConnectionFault(error: unknown): boolean {
	if (!(error instanceof Error)) return false;
	const { code } = error as Error & { code?: unknown };
	return (typeof code === "string" && connectionCodes.has(code)) || isConnectionFault(error.cause);
}
