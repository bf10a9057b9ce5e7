import { expect, test } from "bun:test";
import { Bell } from "../../../src/lib/bell.ts";
import { soon } from "../../support/until.ts";

const never = new AbortController().signal;

test("a ring that comes before the wait is not lost, and wakes one wait only", async () => {
	const bell = new Bell();
	bell.ring();
	bell.ring();
	await soon("the kept ring", bell.wait(never));
	let woken = false;
	const second = bell.wait(never).then(() => {
		woken = true;
	});
	await Promise.resolve();
	expect(woken).toBe(false);
	bell.ring();
	await soon("the second ring", second);
});

test("an abort and a timeout end a wait", async () => {
	const left = new AbortController();
	const waiting = new Bell().wait(left.signal);
	left.abort();
	await soon("the abort", waiting);
	await soon("a wait that begins aborted", new Bell().wait(left.signal));
	await soon("the timeout", new Bell().wait(never, 1));
});
