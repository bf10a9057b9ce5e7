/** Loaded before every test file (bunfig.toml): a PostgreSQL that this process starts serves all files, and is stopped after the last. */
import { afterAll } from "bun:test";
import { keepOwnServer, stopOwnServer } from "./db.ts";

keepOwnServer();
afterAll(stopOwnServer);
