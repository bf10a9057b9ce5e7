/** How long an enrollment id keeps its answer, in milliseconds (G6). */
export const replyMemoryMs = 600_000;
/** Requests decided in one transaction at most: keeps locks short and one statement's JSON below about a megabyte. */
export const batchMax = 500;
/** So many wait before a second batch begins beside the first, and a third: while PostgreSQL writes one, another is decided. Smaller ones cost more than they gain. */
export const besideAt = [32, 96] as const;
/** Requests that wait for a batch at most; later ones are told to come back. A burst of 10,000 machines fits. */
export const waitingMax = 20_000;
/** How often a held worker asks again, in seconds. */
export const pendingRetrySeconds = 10;
/** What a refused-for-now worker is told to wait, in seconds, where no better figure is known. */
export const overloadedRetrySeconds = 5;
