/** What a promise was rejected with; fails when it was not. `expect(…).rejects` is no promise to the type checker, so a test would not wait for it. */
export async function failureOf(work: Promise<unknown>): Promise<unknown> {
	const value = await work.then(
		(result) => ({ result }),
		(error: unknown) => ({ error }),
	);
	if ("error" in value) return value.error;
	throw new Error(`Expected a rejection, but it resolved with ${JSON.stringify(value.result)}`);
}
