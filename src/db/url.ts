import { readFileSync } from "node:fs";
import type { Secret } from "../lib/secret.ts";

/** How a connection is encrypted, in libpq's words. `prefer` and `require` encrypt without knowing the server; the others know it. */
export type SslMode = "disable" | "prefer" | "require" | "verify-ca" | "verify-full";

/** A database address, taken apart. */
export interface DatabasePlace {
	readonly host: string;
	readonly port: number;
	/** Socket file; set for `?host=/directory`. */
	readonly path?: string;
	readonly database: string;
	readonly user: string;
	readonly pass: string;
	readonly sslMode: SslMode;
	/** Authorities of `sslrootcert`, PEM; without it, those of the runtime. */
	readonly sslAuthorities?: string;
	/** False behind a transaction pooler: `?prepare=false`. No statement is prepared then, and no session setting made. */
	readonly prepare: boolean;
}

const sslModes: Readonly<Record<string, SslMode>> = {
	disable: "disable",
	allow: "prefer",
	prefer: "prefer",
	require: "require",
	"verify-ca": "verify-ca",
	"verify-full": "verify-full",
};

/** Reads a libpq URL: `postgres://user:pass@host:5432/db?sslmode=…`, a socket directory as `?host=/dir`. Throws naming what is wrong, never the password. */
export function parseDatabaseUrl(secret: Secret): DatabasePlace {
	const url = parse(secret.reveal());
	const query = url.searchParams;
	const mode = query.get("sslmode") ?? "disable";
	const sslMode = Object.hasOwn(sslModes, mode) ? sslModes[mode] : undefined;
	if (sslMode === undefined) {
		throw new Error(`The database URL has sslmode=${mode}: use disable, prefer, require, verify-ca or verify-full`);
	}
	const host = query.get("host") ?? (url.hostname === "" ? "localhost" : decoded("host", url.hostname).replace(/^\[|\]$/g, ""));
	const port = Number(query.get("port") ?? (url.port === "" ? 5432 : url.port));
	if (!Number.isInteger(port) || port < 1 || port > 65_535)
		throw new Error(`The database URL has port ${query.get("port") ?? url.port}: use 1 to 65535`);
	const user = decoded("user", url.username === "" ? "postgres" : url.username);
	const authorities = query.get("sslrootcert");
	return {
		host,
		port,
		...(host.startsWith("/") ? { path: `${host}/.s.PGSQL.${port}` } : {}),
		database: decoded("database", url.pathname.slice(1)) || user,
		user,
		pass: decoded("password", url.password),
		sslMode,
		...(authorities === null || authorities === "system" ? {} : { sslAuthorities: readFileSync(authorities, "utf8") }),
		prepare: query.get("prepare") !== "false",
	};
}

/** The place for messages and logs: no user, no password. */
export function describePlace({ path, host, port }: DatabasePlace): string {
	return path ?? `${host}:${port}`;
}

function parse(text: string): URL {
	let url: URL;
	try {
		url = new URL(text);
	} catch {
		throw new Error("The database URL is no URL: write postgres://user:password@host:5432/database");
	}
	if (url.protocol === "postgres:" || url.protocol === "postgresql:") return url;
	throw new Error(`The database URL begins with ${url.protocol}: write postgres://`);
}

function decoded(what: string, text: string): string {
	try {
		return decodeURIComponent(text);
	} catch {
		throw new Error(`The ${what} in the database URL holds a % that encodes nothing: write it as %25`);
	}
}
