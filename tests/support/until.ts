/** Waiting for conditions. The deadline is for hangs only: a slow machine passes later, not differently. */

const deadlineMs = 30_000;

/** Asks again and again until `condition` gives something other than undefined or false. Throws, naming `what`, when it never does. */
export async function until<T>(what: string, condition: () => T | Promise<T>): Promise<Exclude<T, undefined | false>> {
	const end = performance.now() + deadlineMs;
	for (;;) {
		const value = await condition();
		if (value !== undefined && value !== false) return value as Exclude<T, undefined | false>;
		if (performance.now() > end) throw new Error(`Waited ${deadlineMs} ms in vain: ${what}`);
		await new Promise((resolve) => setTimeout(resolve, 10));
	}
}

/** The value of `work`, or an error that names `what` when it does not come. */
export async function soon<T>(what: string, work: Promise<T>): Promise<T> {
	let timer: ReturnType<typeof setTimeout> | undefined;
	const late = new Promise<never>((_, reject) => {
		timer = setTimeout(() => reject(new Error(`Waited ${deadlineMs} ms in vain: ${what}`)), deadlineMs);
	});
	return Promise.race([work, late]).finally(() => clearTimeout(timer));
}
