import type { Secret } from "../lib/secret.ts";

/** A database address in the driver's terms. */
export interface DatabasePlace {
	readonly host: string;
	readonly port: number;
	/** Socket file; set for `?host=/directory`. */
	readonly path?: string;
	readonly database: string;
	readonly user: string;
	readonly pass: string;
	readonly ssl: false | "require" | "prefer" | "verify-full";
	/** False behind a transaction pooler: `?prepare=false`. */
	readonly prepare: boolean;
}

const sslModes = { disable: false, allow: "prefer", prefer: "prefer", require: "require", "verify-ca": "verify-full", "verify-full": "verify-full" } as const;

/** Reads a libpq URL: `postgres://user:pass@host:5432/db?sslmode=…`, a socket directory as `?host=/dir`. Throws naming what is wrong, never the password. */
export function parseDatabaseUrl(secret: Secret): DatabasePlace {
	let url: URL;
	try {
		url = new URL(secret.reveal());
	} catch {
		throw new Error("The database URL is no URL: write postgres://user:password@host:5432/database");
	}
	if (url.protocol !== "postgres:" && url.protocol !== "postgresql:") throw new Error(`The database URL begins with ${url.protocol}: write postgres://`);
	const query = url.searchParams;
	const mode = query.get("sslmode") ?? "disable";
	if (!(mode in sslModes)) throw new Error(`The database URL has sslmode=${mode}: use disable, prefer, require or verify-full`);
	const host = query.get("host") ?? (url.hostname === "" ? "localhost" : decodeURIComponent(url.hostname).replace(/^\[|\]$/g, ""));
	const port = Number(query.get("port") ?? (url.port === "" ? 5432 : url.port));
	const user = decodeURIComponent(url.username === "" ? "postgres" : url.username);
	return {
		host,
		port,
		...(host.startsWith("/") ? { path: `${host}/.s.PGSQL.${port}` } : {}),
		database: decodeURIComponent(url.pathname.slice(1)) || user,
		user,
		pass: decodeURIComponent(url.password),
		ssl: sslModes[mode as keyof typeof sslModes],
		prepare: query.get("prepare") !== "false",
	};
}
