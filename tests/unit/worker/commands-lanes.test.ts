import { expect, test } from "bun:test";
import { lanes } from "../../../worker/commands-lanes.ts";
import { settle } from "./fake-time.ts";

/** Tasks that end when told to, and what began in which order. */
function played() {
	const begun: string[] = [];
	const ends = new Map<string, () => void>();
	const task = (name: string) => () => {
		begun.push(name);
		return new Promise<void>((resolve) => void ends.set(name, resolve));
	};
	const end = async (name: string) => {
		ends.get(name)?.();
		await settle();
	};
	return { begun, task, end };
}

test("H13: ordered commands run one after the other in the order they were asked; free ones do not wait for them", async () => {
	const { begun, task, end } = played();
	const all = lanes(2, 10);
	for (const name of ["o1", "o2", "o3"]) all.add("ordered", task(name));
	for (const name of ["f1", "f2", "f3"]) all.add("free", task(name));
	expect(begun).toEqual(["o1", "f1", "f2"]);
	await end("f2");
	expect(begun).toEqual(["o1", "f1", "f2", "f3"]);
	await end("o1");
	await end("o2");
	expect(begun).toEqual(["o1", "f1", "f2", "f3", "o2", "o3"]);
});

test("a lane has a bound: more than may wait is not taken, and what waits stays", async () => {
	const { begun, task, end } = played();
	const all = lanes(1, 2);
	expect(["a", "b", "c", "d"].map((name) => all.add("free", task(name)))).toEqual([true, true, true, false]);
	await end("a");
	expect(all.add("free", task("e"))).toBe(true);
	await end("b");
	await end("c");
	expect(begun).toEqual(["a", "b", "c", "e"]);
});

test("after stop nothing begins", async () => {
	const { begun, task, end } = played();
	const all = lanes(1, 2);
	all.add("ordered", task("a"));
	all.add("ordered", task("b"));
	all.stop();
	await end("a");
	expect(begun).toEqual(["a"]);
});
