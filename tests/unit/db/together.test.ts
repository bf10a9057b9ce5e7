/** What may be sent as one statement. */
import { expect, test } from "bun:test";
import { joinable } from "../../../src/db/together.ts";

const insert = (table: string) => [`\n\t\tinsert into ${table} (id) values (`, `)`];

test("writes of different tables are joined", () => {
	expect(joinable([insert("workers"), ["update hosts set a = ", ""], insert("events")])).toBe(3);
});

test("a second write of one table waits: in one statement it would not see the first (G5)", () => {
	expect(joinable([["update hosts set worker_id = null"], insert("workers"), insert("hosts")])).toBe(2);
});

test("a notification goes along with what it tells of", () => {
	expect(joinable([insert("events"), ["select pg_notify(", ", '')"], insert("hosts")])).toBe(3);
});

test("what gives rows back is not joined", () => {
	expect(joinable([[`insert into workers values (`, `) on conflict do nothing returning id`], insert("hosts")])).toBe(0);
	expect(joinable([insert("hosts"), [`insert into alerts values (`, `) returning id, at`]])).toBe(1);
	expect(joinable([[`insert into alerts values (`, `) returning `, ``]])).toBe(0);
});

test("what reads is sent by itself", () => {
	expect(joinable([["select 1"], insert("hosts")])).toBe(0);
	expect(joinable([insert("hosts"), ["delete from hosts"]])).toBe(1);
});
