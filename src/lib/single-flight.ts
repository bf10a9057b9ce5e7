/** Runs one computation per key at a time: callers that come while it runs get its result. Failures are shared and not kept. */
export function singleFlight<T>(): (key: string, compute: () => Promise<T>) => Promise<T> {
	const flights = new Map<string, Promise<T>>();
	return (key, compute) => {
		const running = flights.get(key);
		if (running !== undefined) return running;
		const flight = compute().finally(() => flights.delete(key));
		flights.set(key, flight);
		return flight;
	};
}
