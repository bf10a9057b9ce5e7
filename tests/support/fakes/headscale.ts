/**
 * A fake Headscale, for the versions that this machine has no binary of. It is held to what real ones do: keys are single-use, a key without
 * expiration has expired, ids are texts, a list shows what its version shows, expiring takes what its version takes, errors have its version's form.
 */
import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { until } from "../until.ts";

export const fakeVersions = ["0.23.0", "0.26.1", "0.28.0", "0.30.0"] as const;
export type FakeVersion = (typeof fakeVersions)[number];

interface Key {
	readonly id: string;
	readonly key: string;
	readonly userId: string | null;
	expiration: string;
	used: boolean;
	readonly createdAt: string;
	readonly aclTags: readonly string[];
}

interface Node {
	readonly id: string;
	readonly name: string;
	readonly addresses: readonly string[];
	readonly key: Key;
}

export interface FakeHeadscale {
	readonly url: string;
	readonly apiKey: string;
	readonly user: string;
	/** What a machine does with a key: joins, or is told why not. */
	join(key: string, name: string): { readonly nodeId: string; readonly address: string };
	/** Every body that was posted, by path. */
	readonly posted: readonly { readonly path: string; readonly body: Readonly<Record<string, unknown>> }[];
	/** A new database in the place of the old one: no key and no node, and ids begin anew. */
	renew(): Promise<void>;
	stop(): Promise<void>;
}

class Refused extends Error {
	readonly status: number;
	constructor(status: number, message: string) {
		super(message);
		this.status = status;
	}
}

const zeroTime = "0001-01-01T00:00:00Z";

/** Starts one that behaves as this version. */
export async function startFakeHeadscale(version: FakeVersion): Promise<FakeHeadscale> {
	const minor = Number(version.split(".")[1]);
	const apiKey = randomBytes(24).toString("hex");
	const user = { id: "7", name: "muster" };
	const keys: Key[] = [];
	const nodes: Node[] = [];
	const posted: { path: string; body: Record<string, unknown> }[] = [];
	let ids = 0;

	/** The user that a reference means: a name before 0.26, an id since. */
	function userOf(ref: unknown): typeof user {
		if (minor >= 30 && typeof ref !== "string") throw new Refused(422, "validation failed: expected string");
		if (minor >= 26 && !/^\d+$/.test(String(ref)))
			throw new Refused(400, `proto: (line 1:9): invalid value for uint64 field user: "${String(ref)}"`);
		if (String(ref) === (minor >= 26 ? user.id : user.name)) return user;
		throw new Refused(minor >= 30 ? 404 : 500, "user not found");
	}

	const shownUser = (key: Key) => (key.userId === null ? null : minor >= 26 ? user : user.name);
	const shown = (key: Key, inList: boolean) => ({
		user: shownUser(key),
		id: key.id,
		key: inList && minor >= 28 ? `${key.key.slice(0, 23)}-***` : key.key,
		reusable: false,
		ephemeral: false,
		used: key.used,
		expiration: key.expiration,
		createdAt: key.createdAt,
		aclTags: key.aclTags,
	});
	const shownNode = (node: Node) => ({
		id: node.id,
		name: `${node.name}.raw`,
		givenName: node.name,
		ipAddresses: node.addresses,
		online: true,
		lastSeen: new Date().toISOString(),
		preAuthKey: shown(node.key, true),
		user: shownUser(node.key),
	});

	function create(body: Record<string, unknown>) {
		const known = ["user", "reusable", "ephemeral", "expiration", "aclTags"];
		const strange = Object.keys(body).filter((name) => !known.includes(name));
		if (minor >= 30 && strange.length > 0) throw new Refused(422, `unexpected property ${strange[0]}`);
		const aclTags = (body["aclTags"] ?? []) as string[];
		if (aclTags.some((tag) => !tag.startsWith("tag:"))) throw new Refused(minor >= 30 ? 400 : 500, "tag must start with the string 'tag:'");
		if (body["user"] === undefined && minor < 28) throw new Refused(500, "user not found");
		if (body["user"] === undefined && aclTags.length === 0)
			throw new Refused(minor >= 30 ? 400 : 500, "pre auth key must be tagged or owned");
		const owner = body["user"] === undefined ? null : userOf(body["user"]).id;
		const text =
			minor >= 28 ? `hskey-auth-${randomBytes(6).toString("hex")}-${randomBytes(32).toString("hex")}` : randomBytes(24).toString("hex");
		// The trap: without an expiration the zero time is stored, and the key has expired before its first use.
		const expiration = typeof body["expiration"] === "string" ? body["expiration"] : zeroTime;
		const key = {
			id: String(++ids),
			key: text,
			userId: owner,
			expiration,
			used: false,
			createdAt: `${new Date().toISOString().slice(0, -1)}123456Z`,
			aclTags,
		};
		keys.push(key);
		return { preAuthKey: shown(key, false) };
	}

	function expire(body: Record<string, unknown>) {
		const owner = minor >= 28 ? undefined : userOf(body["user"]);
		const key = keys.find((one) => (owner === undefined ? one.id === String(body["id"]) : one.key === body["key"]));
		if (key !== undefined) key.expiration = new Date(Date.now() - 1).toISOString();
		else if (minor >= 30) throw new Refused(404, "pre auth key not found");
		else if (minor < 28) throw new Refused(500, "AuthKey not found");
		return {};
	}

	function route(method: string, url: URL, body: Record<string, unknown>): unknown {
		const { pathname: path } = url;
		if (method === "GET" && path === "/api/v1/user") {
			const name = minor >= 24 ? url.searchParams.get("name") : null;
			return { users: [user].filter((one) => name === null || one.name === name) };
		}
		if (path === "/api/v1/preauthkey" && method === "POST") return create(body);
		if (path === "/api/v1/preauthkey/expire" && method === "POST") return expire(body);
		if (path === "/api/v1/preauthkey" && method === "GET") {
			const owner = minor >= 28 ? undefined : userOf(url.searchParams.get("user")).id;
			return { preAuthKeys: keys.filter((key) => owner === undefined || key.userId === owner).map((key) => shown(key, true)) };
		}
		if (path === "/api/v1/node" && method === "GET") return { nodes: nodes.map(shownNode) };
		if (path.startsWith("/api/v1/node/") && method === "DELETE") {
			const index = nodes.findIndex(({ id }) => id === path.split("/").at(-1));
			if (index < 0) throw new Refused(minor >= 28 ? 404 : 500, minor >= 28 ? "node not found" : "record not found");
			nodes.splice(index, 1);
			return {};
		}
		throw new Refused(404, "Not Found");
	}

	/** What needs no API key; undefined: nothing there. */
	function open(path: string): unknown {
		if (path === "/version" && minor >= 27) return { version: `v${version}`, commit: "fake", dirty: false };
		if (path === "/swagger/v1/openapiv2.json" && minor < 30) {
			const properties = { user: { type: "string", ...(minor >= 26 ? { format: "uint64" } : {}) } };
			const expiring = minor >= 28 ? { id: { type: "string", format: "uint64" } } : { ...properties, key: { type: "string" } };
			return { definitions: { v1CreatePreAuthKeyRequest: { properties }, v1ExpirePreAuthKeyRequest: { properties: expiring } } };
		}
		return undefined;
	}

	function answer(response: ServerResponse, status: number, value: unknown): void {
		response.writeHead(status, { "content-type": status >= 400 && minor >= 30 ? "application/problem+json" : "application/json" });
		response.end(JSON.stringify(value));
	}

	async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
		const url = new URL(request.url ?? "/", "http://fake");
		const public_ = open(url.pathname);
		if (public_ !== undefined) return answer(response, 200, public_);
		if (!url.pathname.startsWith("/api/")) return void response.writeHead(404).end();
		if (request.headers.authorization !== `Bearer ${apiKey}`) {
			if (minor >= 30) return answer(response, 401, { title: "Unauthorized", status: 401, detail: "Unauthorized" });
			return void response.writeHead(401, { "content-type": "text/plain" }).end("Unauthorized");
		}
		try {
			const text = await read(request);
			const body = text === "" ? {} : (JSON.parse(text) as Record<string, unknown>);
			if (request.method === "POST") posted.push({ path: url.pathname, body });
			answer(response, 200, route(request.method ?? "GET", url, body));
		} catch (error) {
			if (!(error instanceof Refused)) throw error;
			const { status, message } = error;
			if (minor >= 30) answer(response, status, { title: "Error", status, detail: message });
			else answer(response, status, { code: status === 400 ? 3 : status === 404 ? 5 : 2, message, details: [] });
		}
	}

	const server = createServer((request, response) => void handle(request, response));
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	return {
		url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
		apiKey,
		user: user.name,
		posted,
		join(text, name) {
			const key = keys.find((one) => one.key === text);
			if (key === undefined) throw new Error("authkey not found");
			if (key.used) throw new Error("authkey already used");
			if (Date.parse(key.expiration) < Date.now()) throw new Error("authkey expired");
			key.used = true;
			const node = { id: String(++ids), name, addresses: [`100.64.0.${nodes.length + 1}`], key };
			nodes.push(node);
			return { nodeId: node.id, address: node.addresses[0] ?? "" };
		},
		async renew() {
			[keys.length, nodes.length, ids] = [0, 0, 0];
			// A real one is away for a second or two: no key of the new database was made in the moment of an old one's.
			const began = Date.now();
			await until("the clock has gone on", () => Date.now() > began + 2);
		},
		async stop() {
			server.closeAllConnections();
			await new Promise((resolve) => server.close(resolve));
		},
	};
}

async function read(request: IncomingMessage): Promise<string> {
	let text = "";
	for await (const chunk of request.setEncoding("utf8")) text += chunk;
	return text;
}
