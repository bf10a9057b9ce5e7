/** The compiled workers over HTTP: `/download/<target>` and `/download/<target>.sha256`. */
import { isTarget, type Target, targets, workerFileName } from "../protocol/targets.ts";
import { problem } from "./respond.ts";
import { streamOf, type WorkerFile, workerFiles } from "./worker-files.ts";

const path = "/download/";
/** A reader of a download that takes no piece for this long is cut; at 128 KiB a piece that is 2 KiB a second. */
const stallMs = 60_000;
const remedy = "npm run build:worker -- --all";

/** Answers paths below /download; undefined for others. */
export function createDownloads(dist: string): (request: Request, pathname: string) => Promise<Response> | undefined {
	const files = workerFiles(dist);

	async function answer(request: Request, name: string): Promise<Response> {
		if (request.method !== "GET" && request.method !== "HEAD") {
			return problem(405, "METHOD_NOT_ALLOWED", `Downloads are asked for with GET`, { allow: "GET, HEAD" });
		}
		const isSum = name.endsWith(".sha256");
		const target = isSum ? name.slice(0, -".sha256".length) : name;
		if (!isTarget(target)) {
			return problem(
				404,
				"NOT_FOUND",
				`There is no worker for "${target.slice(0, 40)}": there are ${targets.join(", ")}, built on the server with ${remedy}`,
			);
		}
		const worker = await files.open(target);
		if (worker === undefined) {
			return problem(404, "NOT_FOUND", `The worker for ${target} was not built: run ${remedy} on the server`);
		}
		return isSum ? sum(request, target, worker) : program(request, target, worker);
	}

	async function sum(request: Request, target: Target, { handle, sha256 }: WorkerFile): Promise<Response> {
		await handle.close();
		const text = `${sha256}  ${workerFileName(target)}\n`;
		const headers = { "content-type": "text/plain; charset=utf-8", "cache-control": "no-cache" };
		return new Response(request.method === "HEAD" ? null : text, { headers });
	}

	async function program(request: Request, target: Target, worker: WorkerFile): Promise<Response> {
		const compressed = takesGzip(request) ? await files.openCompressed(target, worker) : undefined;
		const { handle, size } = compressed ?? worker;
		if (compressed !== undefined) await worker.handle.close();
		const etag = `"${worker.sha256}${compressed === undefined ? "" : "-gzip"}"`;
		const headers = {
			"content-type": "application/octet-stream",
			"content-disposition": `attachment; filename="${workerFileName(target)}"`,
			"cache-control": "no-cache",
			"last-modified": new Date(worker.changedAtMs).toUTCString(),
			etag,
			vary: "accept-encoding",
			...(compressed === undefined ? {} : { "content-encoding": "gzip" }),
		};
		const isKnown = knows(request, etag);
		if (isKnown || request.method === "HEAD") {
			await handle.close();
			return isKnown
				? new Response(null, { status: 304, headers })
				: new Response(null, { headers: { ...headers, "content-length": `${size}` } });
		}
		return new Response(streamOf(handle, size, stallMs), { headers: { ...headers, "content-length": `${size}` } });
	}

	return (request, pathname) => (pathname.startsWith(path) ? answer(request, pathname.slice(path.length)) : undefined);
}

/** Whether the client has just these bytes. `If-Modified-Since` is not asked: two builds within a second differ by their checksum only. */
function knows(request: Request, etag: string): boolean {
	const tags = (request.headers.get("if-none-match") ?? "").split(",").map((tag) => tag.trim().replace(/^W\//, ""));
	return tags.includes(etag) || tags.includes("*");
}

function takesGzip(request: Request): boolean {
	const offers = (request.headers.get("accept-encoding") ?? "").split(",").map((offer) => offer.trim().toLowerCase());
	return offers.some((offer) => /^(gzip|x-gzip|\*)(;|$)/.test(offer) && !/;\s*q=0(\.0*)?\s*$/.test(offer));
}
