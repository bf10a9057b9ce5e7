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
	// SQLSTATE class 08, admin shutdown, crash shutdown, cannot connect now, database dropped or renamed, too many connections.
	"08000",
	"08003",
	"08006",
	"57P01",
	"57P02",
	"57P03",
	"57P04",
	"3D000",
	"53300",
]);

/** Whether a row was not written because another has what must be unique: somebody else was faster. */
export function isUniqueViolation(error: unknown): boolean {
	return error instanceof Error && "code" in error && error.code === "23505";
}

/** Whether a row was not written because what it belongs to is gone: somebody deleted it meanwhile. */
export function isForeignKeyViolation(error: unknown): boolean {
	return error instanceof Error && "code" in error && error.code === "23503";
}

/**
 * Whether a batch lost to another transaction: a row that must be unique was there, one that others refer to was not written because it was
 * there under another name, one that was to be changed was no longer as it had been (MU001), or each had what the other waited for.
 */
export function isLostWrite(error: unknown): boolean {
	return (
		isUniqueViolation(error) ||
		isForeignKeyViolation(error) ||
		(error instanceof Error && "code" in error && lostCodes.has(String(error.code)))
	);
}

const lostCodes = new Set(["MU001", "40001", "40P01"]);

/** Whether an error means that the database is away, so that every request would meet it; such a request may be tried again later. */
export function isConnectionFault(error: unknown): boolean {
	// Causes may go round in a circle; ours are at most three deep.
	for (let at = error, depth = 0; at instanceof Error && depth < 8; at = at.cause, depth++) {
		if ("code" in at && typeof at.code === "string" && connectionCodes.has(at.code)) return true;
	}
	return false;
}
