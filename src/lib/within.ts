/** Whether `work` settled, well or badly, within `deadlineMs`. It goes on regardless; its failure is never unhandled. */
export async function within(work: Promise<unknown>, deadlineMs: number): Promise<boolean> {
	let timer: ReturnType<typeof setTimeout> | undefined;
	const late = new Promise<false>((resolve) => {
		timer = setTimeout(() => resolve(false), deadlineMs);
	});
	const settled = work.then(
		() => true,
		() => true,
	);
	return Promise.race([settled, late]).finally(() => clearTimeout(timer));
}
