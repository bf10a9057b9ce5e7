/** The workers and the install script over HTTP, on both runtimes. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readlinkSync, renameSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { type TestDatabase, testDatabase } from "../support/db.ts";
import { type Muster, startMuster } from "../support/muster.ts";
import { runtimeNames } from "../support/runtimes.ts";
import { until } from "../support/until.ts";

const megabyte = 1024 * 1024;
const testMs = 120_000;
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

describe.each([...runtimeNames])("downloads on %s", (runtime) => {
	const dist = mkdtempSync(join(tmpdir(), "muster-dist-"));
	const program = randomBytes(3 * megabyte + 17);
	let database: TestDatabase;
	let server: Muster;
	beforeAll(async () => {
		database = await testDatabase();
		put("linux-x64/muster-worker", program);
		server = await startMuster({ runtime, databaseUrl: database.url, env: { MUSTER_WORKER_DIST: dist } });
	}, testMs);
	afterAll(async () => {
		await server.stop();
		await database.drop();
		rmSync(dist, { recursive: true, force: true });
	}, testMs);

	function put(name: string, bytes: Uint8Array): void {
		mkdirSync(join(dist, name, ".."), { recursive: true });
		writeFileSync(join(dist, `${name}.new`), bytes);
		renameSync(join(dist, `${name}.new`), join(dist, name));
	}
	const get = (path: string, headers: Record<string, string> = {}, method = "GET") =>
		fetch(`${server.url}${path}`, { method, headers: { "accept-encoding": "identity", ...headers }, decompress: false });
	const rssBytes = async () => Number(/VmRSS:\s+(\d+) kB/.exec(await Bun.file(`/proc/${server.pid}/status`).text())?.[1]) * 1_024;

	test("G3: the bytes are the file's, and the checksum is theirs", async () => {
		const reply = await get("/download/linux-x64");
		expect(reply.status).toBe(200);
		expect(sha256(await reply.bytes())).toBe(sha256(program));
		expect(reply.headers.get("content-encoding")).toBeNull();
		expect(reply.headers.get("vary")).toBe("accept-encoding");
		expect(reply.headers.get("etag")).toBe(`"${sha256(program)}"`);
		expect(Date.parse(reply.headers.get("last-modified") ?? "")).toBeGreaterThan(0);
		const sum = await get("/download/linux-x64.sha256");
		expect(await sum.text()).toBe(`${sha256(program)}  muster-worker\n`);
	});

	test("HEAD tells the length and sends nothing; who has these bytes is told so", async () => {
		const head = await get("/download/linux-x64", {}, "HEAD");
		expect([head.status, head.headers.get("content-length"), (await head.bytes()).length]).toEqual([200, `${program.length}`, 0]);
		const etag = head.headers.get("etag") ?? "";
		expect((await get("/download/linux-x64", { "if-none-match": etag })).status).toBe(304);
		expect((await get("/download/linux-x64", { "if-none-match": '"other"' })).status).toBe(200);
		expect((await get("/download/linux-x64", {}, "POST")).status).toBe(405);
	});

	test("who takes gzip gets the build's compressed form under an ETag of its own, who does not gets the bytes", async () => {
		const bytes = Buffer.alloc(2 * megabyte, "worker");
		put("linux-arm64/muster-worker", bytes);
		put("linux-arm64/muster-worker.gz", gzipSync(bytes));
		for (const offer of ["gzip", "deflate, gzip;q=0.5", "*"]) {
			const reply = await get("/download/linux-arm64", { "accept-encoding": offer });
			expect(reply.headers.get("content-encoding")).toBe("gzip");
			expect(reply.headers.get("etag")).toBe(`"${sha256(bytes)}-gzip"`);
			expect(sha256(gunzipSync(await reply.bytes()))).toBe(sha256(bytes));
		}
		for (const offer of ["identity", "gzip;q=0", "br"]) {
			const reply = await get("/download/linux-arm64", { "accept-encoding": offer });
			expect(reply.headers.get("content-encoding")).toBeNull();
			expect(sha256(await reply.bytes())).toBe(sha256(bytes));
		}
	});

	test("a compressed form that is older than the worker is of another worker, and is not sent", async () => {
		put("darwin-arm64/muster-worker.gz", gzipSync("the worker before"));
		utimesSync(join(dist, "darwin-arm64/muster-worker.gz"), 1_000, 1_000);
		put("darwin-arm64/muster-worker", Buffer.from("the worker"));
		const reply = await get("/download/darwin-arm64", { "accept-encoding": "gzip" });
		expect([reply.headers.get("content-encoding"), await reply.text()]).toEqual([null, "the worker"]);
	});

	test("what was built anew is served with its own checksum at once", async () => {
		for (const text of ["first build", "second build", "other build!"]) {
			put("windows-x64/muster-worker.exe", Buffer.from(text));
			expect(await (await get("/download/windows-x64.sha256")).text()).toBe(`${sha256(Buffer.from(text))}  muster-worker.exe\n`);
			expect(await (await get("/download/windows-x64")).text()).toBe(text);
		}
	});

	test("the worker built for this machine alone is served as what it is, while nothing newer was built for that target", async () => {
		const single = Buffer.alloc(4_096);
		single.writeUInt32BE(0x7f454c46, 0);
		single.writeUInt16LE(183, 18);
		single.write("/lib/ld-musl-aarch64.so.1", 600);
		put("muster-worker", single);
		expect(sha256(await (await get("/download/linux-arm64-musl")).bytes())).toBe(sha256(single));
		expect((await get("/download/linux-x64-musl")).status).toBe(404);
		const own = Buffer.from("of its own folder");
		put("linux-arm64-musl/muster-worker", own);
		utimesSync(join(dist, "muster-worker"), 1_000, 1_000);
		expect(sha256(await (await get("/download/linux-arm64-musl")).bytes())).toBe(sha256(own));
		utimesSync(join(dist, "linux-arm64-musl/muster-worker"), 900, 900);
		expect(sha256(await (await get("/download/linux-arm64-musl")).bytes())).toBe(sha256(single));
	});

	test.each(["linux-x64-musl", "linux-x64-musl.sha256", "plan9", "", "../SHA256SUMS", "linux-x64/muster-worker"])(
		"what is not there is a 404 that names the command: %j",
		async (name) => {
			const reply = await get(`/download/${encodeURIComponent(name)}`);
			expect(reply.status).toBe(404);
			expect(await reply.text()).toContain("npm run build:worker -- --all");
		},
	);

	test("the install script carries the address it was asked at, and no header of a client's making", async () => {
		const reply = await get("/install.sh");
		const script = await reply.text();
		expect(script).toContain(`\nserver='${server.url}'\n`);
		expect(script).not.toMatch(/@[A-Z_]+@/);
		expect(reply.headers.get("cache-control")).toBe("no-store");
		expect(await raw("GET /install.sh HTTP/1.1\r\nHost: a'$(reboot)\r\nConnection: close\r\n\r\n")).not.toContain("reboot");
	});

	async function raw(request: string): Promise<string> {
		const { socket } = await connected(request);
		const parts: Buffer[] = [];
		for await (const part of socket) parts.push(part as Buffer);
		return Buffer.concat(parts).toString();
	}

	async function connected(request: string): Promise<{ socket: Socket }> {
		const { hostname, port } = new URL(server.url);
		const socket = connect(Number(port), hostname);
		await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
		socket.write(request);
		return { socket };
	}

	test(
		"many downloads at once, and readers that take nothing, cost the server no memory; a reader that leaves costs it no file",
		async () => {
			const big = randomBytes(64 * megabyte);
			put("linux-x64/muster-worker", big);
			const sums = await Promise.all(Array.from({ length: 4 }, async () => (await get("/download/linux-x64.sha256")).text()));
			expect(new Set(sums)).toEqual(new Set([`${sha256(big)}  muster-worker\n`]));
			const before = await rssBytes();
			let highest = before;
			const watch = setInterval(() => void rssBytes().then((now) => (highest = Math.max(highest, now))), 20);
			const idle = await Promise.all(
				Array.from({ length: 16 }, () =>
					connected("GET /download/linux-x64 HTTP/1.1\r\nHost: x\r\n\r\n").then(({ socket }) => socket.pause()),
				),
			);
			const loads = Array.from({ length: 8 }, async () => {
				const hash = createHash("sha256");
				for await (const part of (await get("/download/linux-x64")).body ?? []) hash.update(part);
				return hash.digest("hex");
			});
			expect(new Set(await Promise.all(loads))).toEqual(new Set([sha256(big)]));
			clearInterval(watch);
			// 24 downloads of 64 MB held whole would be 1,536 MB.
			expect((highest - before) / megabyte).toBeLessThan(512);
			for (const socket of idle) socket.destroy();
			await until("the files of those who left to be closed", () => held() === 0);
		},
		testMs,
	);

	/** How many files below `dist` the server holds open. */
	function held(): number {
		return readdirSync(`/proc/${server.pid}/fd`).filter((fd) => {
			try {
				return readlinkSync(`/proc/${server.pid}/fd/${fd}`).startsWith(dist);
			} catch {
				return false;
			}
		}).length;
	}
});
