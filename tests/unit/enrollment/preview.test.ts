import { expect, test } from "bun:test";
import { again } from "../../../src/enrollment/preview.ts";
import { LostRace } from "../../../src/enrollment/store.ts";
import { failureOf } from "../../support/failure.ts";

/** Loses so many races, and then has an answer. */
function losing(races: number) {
	const asked = { times: 0 };
	const ask = async () => {
		asked.times += 1;
		if (asked.times <= races) throw new LostRace("hosts");
		return "a verdict";
	};
	return { asked, ask };
}

test("a look whose facts changed under it is repeated until it has an answer", async () => {
	const { asked, ask } = losing(4);
	expect([await again(ask), asked.times]).toEqual(["a verdict", 5]);
});

test("H6: one that loses every race is told to try again, and that nothing was used up: no fault of ours", async () => {
	const { asked, ask } = losing(5);
	const fault = await failureOf(again(ask));
	expect(fault).toMatchObject({
		name: "MusterError",
		code: "SERVICE_UNAVAILABLE",
		message: expect.stringContaining("nothing was used up, try again"),
	});
	expect(asked.times).toBe(5);
});

test("what is no lost race goes up at once", async () => {
	const fault = new Error("the database is away");
	let times = 0;
	const failing = again(async () => {
		times += 1;
		throw fault;
	});
	expect([await failureOf(failing), times]).toEqual([fault, 1]);
});
