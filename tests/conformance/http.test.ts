import { afterAll, beforeAll, describe, expect, test, setDefaultTimeout } from "bun:test";
import { serverAudits } from "graphql-http";
import { runtimeNames } from "../support/runtimes.ts";
import { until } from "../support/until.ts";
import { startTestServer, type TestServer } from "./test-server.ts";

// For hangs only; see support/until.ts.
setDefaultTimeout(60_000);

const json = { "content-type": "application/json" };

describe.each([...runtimeNames])("HTTP on %s", (runtime) => {
	let server: TestServer;
	beforeAll(async () => {
		server = await startTestServer(runtime, { trustedProxies: ["127.0.0.0/8"] });
	});
	afterAll(() => server[Symbol.asyncDispose]());

	const post = (body: string, headers: Record<string, string> = json) => fetch(server.url("/graphql"), { method: "POST", headers, body });

	test("all audits of GraphQL over HTTP pass: MUST, SHOULD and MAY", async () => {
		const failed: string[] = [];
		const audits = serverAudits({ url: server.url("/graphql") });
		expect(audits.length).toBeGreaterThan(50);
		for (const audit of audits) {
			const result = await audit.fn();
			if (result.status !== "ok") failed.push(`${result.status}: ${audit.name}`);
		}
		expect(failed).toEqual([]);
	});

	test("a reply carries a request id of the server's own choice and the security headers", async () => {
		const response = await post('{"query":"{ requestId }"}', { ...json, "x-request-id": "chosen-by-the-client" });
		const { data } = (await response.json()) as { data: { requestId: string } };
		expect(data.requestId).not.toBe("chosen-by-the-client");
		expect(Object.fromEntries(response.headers)).toMatchObject({
			"x-request-id": data.requestId,
			"x-content-type-options": "nosniff",
			"referrer-policy": "no-referrer",
			"content-security-policy": "default-src 'none'; frame-ancestors 'none'",
			"cache-control": "no-store",
		});
		expect(response.headers.has("access-control-allow-origin")).toBe(false);
	});

	test("a raw error is masked, and the log has it under the request id the client was told", async () => {
		const { body, status, headers } = await server.ask("{ fault hello }");
		const [error] = body.errors ?? [];
		expect(status).toBe(200);
		expect(body.data).toEqual({ fault: null, hello: "world" });
		expect(error).toMatchObject({ message: "Unexpected error", extensions: { code: "INTERNAL_SERVER_ERROR" } });
		expect(JSON.stringify(body)).not.toContain("raw text");
		const requestId = String(error?.extensions?.requestId);
		expect(headers.get("x-request-id")).toBe(requestId);
		await until("the log has it", () =>
			server.program
				.stderr()
				.split("\n")
				.some((line) => line.includes(requestId) && line.includes("the raw text of a fault")),
		);
	});

	test("a refusal keeps its words, code and fields", async () => {
		const [error] = (await server.ask("{ refused }")).body.errors ?? [];
		expect(error).toMatchObject({
			message: 'Cannot take the name "a": choose another',
			extensions: { code: "CONFLICT", fields: ["name"] },
		});
	});

	test("a resolver's status and headers reach the reply of a single operation, and no other", async () => {
		const single = await server.ask("query Q { ...F } fragment F on Query { tooMany }");
		expect(single.status).toBe(429);
		expect(single.headers.get("retry-after")).toBe("7");
		expect(single.body.data).toEqual({ tooMany: "later" });
		expect((await server.ask("{ tooMany hello }")).status).toBe(200);
		expect((await server.ask("{ a: tooMany b: tooMany }")).status).toBe(200);
	});

	test.each([
		["a form", "application/x-www-form-urlencoded", "query=mutation{echo(text:%22a%22)}"],
		["plain text", "text/plain", '{"query":"mutation{echo(text:\\"a\\")}"}'],
		[
			"a multipart form",
			"multipart/form-data; boundary=x",
			'--x\r\nContent-Disposition: form-data; name="operations"\r\n\r\n{"query":"{hello}"}\r\n--x--\r\n',
		],
		["no content type", "", '{"query":"{hello}"}'],
	])("%s is refused with 415", async (_title, type, body) => {
		const response = await post(body, type === "" ? {} : { "content-type": type });
		expect(response.status).toBe(415);
		expect(await response.json()).toMatchObject({ errors: [{ extensions: { code: "UNSUPPORTED_MEDIA_TYPE" } }] });
	});

	test("a mutation by GET is refused with 405, a batch with 400", async () => {
		const byGet = await fetch(server.url(`/graphql?query=${encodeURIComponent('mutation { echo(text: "a") }')}`), {
			headers: { accept: "application/json" },
		});
		expect(byGet.status).toBe(405);
		expect((await post('[{"query":"{ hello }"},{"query":"{ hello }"}]')).status).toBe(400);
	});

	test("a body past the limit is answered 413 in JSON, declared or not", async () => {
		const tooLong = JSON.stringify({ query: `{ hello } # ${"x".repeat(1024 * 1024)}` });
		const declared = await post(tooLong);
		expect([declared.status, await declared.json()]).toMatchObject([413, { errors: [{ extensions: { code: "PAYLOAD_TOO_LARGE" } }] }]);
		let sent = 0;
		const undeclared = await fetch(server.url("/graphql"), {
			method: "POST",
			headers: json,
			body: new ReadableStream<Uint8Array>({
				pull(controller) {
					if (sent++ < 18) controller.enqueue(new Uint8Array(64 * 1024));
					else controller.close();
				},
			}),
		});
		expect([undeclared.status, await undeclared.json()]).toMatchObject([413, { errors: [{ extensions: { code: "PAYLOAD_TOO_LARGE" } }] }]);
		const fits = JSON.stringify({ query: "{ hello }", extensions: { filler: "x".repeat(1024 * 1024 - 60) } });
		expect((await post(fits)).status).toBe(200);
	});

	test("an event stream comes event by event, and its source ends when the reader leaves", async () => {
		const left = new AbortController();
		const response = await server.stream("subscription { quiet }", left.signal);
		expect(response.headers.get("content-type")).toStartWith("text/event-stream");
		let text = "";
		// The source waits for ever after its first event: were anything held back, this would not end.
		for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
			text += chunk;
			if (text.includes("ready")) break;
		}
		expect(text).toContain('event: next\ndata: {"data":{"quiet":"ready"}}\n\n');
		left.abort();
		await until("its source ended", async () => (await server.openSources()) === 0);
	});

	test("an event stream that falls behind ends with an error event, one that fails with a masked one", async () => {
		const behind = await (await server.stream("subscription { overflowing }")).text();
		expect(behind).toContain('"code":"FELL_BEHIND"');
		expect(behind).toEndWith("event: complete\ndata:\n\n");
		const failed = await (await server.stream("subscription { failing }")).text();
		expect(failed).toContain('"message":"Unexpected error"');
		expect(failed).not.toContain("raw text");
		await until("no source runs", async () => (await server.openSources()) === 0);
	});

	test("the source address is the peer's, or what a trusted proxy says", async () => {
		const whoAmI = async (headers: Record<string, string>) => {
			const response = await post('{"query":"{ whoAmI }"}', { ...json, ...headers });
			return ((await response.json()) as { data: { whoAmI: string } }).data.whoAmI;
		};
		expect(await whoAmI({})).toBe("nobody from 127.0.0.1 over HTTP");
		expect(await whoAmI({ "x-forwarded-for": "203.0.113.9, 198.51.100.7, 127.0.0.9" })).toBe("nobody from 198.51.100.7 over HTTP");
	});

	test("liveness and readiness answer, and what is not there is named", async () => {
		expect(await (await fetch(server.url("/health/live"))).json()).toEqual({ status: "live" });
		expect(await (await fetch(server.url("/health/ready"))).json()).toEqual({ status: "ready", checks: [{ name: "database", ok: true }] });
		const missing = await fetch(server.url("/elsewhere"));
		expect(missing.status).toBe(404);
		expect(await missing.text()).toContain("/elsewhere");
	});

	test("metrics are on their own listener, every refusal there from the start", async () => {
		const page = await (await fetch(`http://127.0.0.1:${server.metricsPort}/metrics`)).text();
		expect(page).toContain('muster_enroll_rejections_total{reason="race_consumed"} 0');
		expect(page).toContain("process_resident_memory_bytes");
		expect(page).toMatch(/muster_http_requests_total\{route="\/graphql",status="2xx"\} \d+/);
		expect((await fetch(`http://127.0.0.1:${server.metricsPort}/`)).status).toBe(404);
		expect((await fetch(server.url("/metrics"))).status).toBe(404);
	});

	test("GraphiQL comes whole from this server: page, parts and policy name no other", async () => {
		const page = await fetch(server.url("/graphql"), { headers: { accept: "text/html" } });
		const html = await page.text();
		expect(page.headers.get("content-type")).toStartWith("text/html");
		expect(page.headers.get("content-security-policy")).toContain("script-src 'self'");
		expect(html).not.toMatch(/https?:|\/\/[a-z]/);
		const paths = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1] ?? "");
		expect(paths.length).toBe(5);
		for (const path of [...paths, "/graphiql/editor.worker.js", "/graphiql/json.worker.js", "/graphiql/graphql.worker.js"]) {
			const part = await fetch(server.url(path));
			expect([path, part.status]).toEqual([path, 200]);
			const again = await fetch(server.url(path), { headers: { "if-none-match": part.headers.get("etag") ?? "" } });
			expect([path, again.status]).toEqual([path, 304]);
			await part.body?.cancel();
		}
		expect((await fetch(server.url("/graphiql/../../package.json"))).status).toBe(404);
	});
});

describe.each([...runtimeNames])("health on %s", (runtime) => {
	test("without its database the server is alive but not ready, and says why", async () => {
		await using server = await startTestServer(runtime, { databaseDown: true });
		expect((await fetch(server.url("/health/live"))).status).toBe(200);
		const ready = await fetch(server.url("/health/ready"));
		expect([ready.status, await ready.json()]).toEqual([
			503,
			{ status: "unready", checks: [{ name: "database", ok: false, reason: "no connection" }] },
		]);
	});
});
