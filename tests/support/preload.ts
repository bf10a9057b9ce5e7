/** Loaded before every test file (bunfig.toml): the driver's known fault must not fail a test, and what this process started is stopped. */
import { afterAll } from "bun:test";
import process from "node:process";
import { isKnownDriverFault } from "../../src/db/client.ts";
import { stopOwnServer } from "./db.ts";

process.on("uncaughtException", (error) => {
	if (!isKnownDriverFault(error)) throw error;
});
afterAll(stopOwnServer);
