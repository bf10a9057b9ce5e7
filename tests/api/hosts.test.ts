import { describe, expect, test } from "bun:test";
import { execFile } from "node:child_process";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { mintToken, parseToken } from "../../src/protocol/token.ts";
import { failureOf } from "../support/failure.ts";
import { asAdmin, type GraphQLReply, type Muster } from "../support/muster.ts";
import { hex, rowCount } from "../support/pipeline.ts";
import { soon } from "../support/until.ts";
import { enroll, heartbeat, newSite, onEachRuntime } from "./support.ts";

// Whatever a shell, YAML or compose could take for its own.
const awkward = `o'clock "$HOME" $(id) \`id\` $\{PWD} $$ \\n \\ %s # !x: {y} ü`;
const sharedSecret = `a shared secret, ${awkward}`;
const shown =
	"id name state lastKnownState tokenExpiresAt site { code } worker { id method site { code } } recentAttempts { accepted outcome reason claimedName }";
const payload = `{ secret snippet host { ${shown} } }`;
const dayMs = 24 * 3_600_000;
const newName = () => `robot ${hex(5)}`;

async function createHost(server: Muster, input: object = {}, format: string | null = null) {
	const mutation = `mutation ($input: CreateHostInput!, $format: SnippetFormat) { createHost(input: $input, format: $format) ${payload} }`;
	return (await asAdmin(server, mutation, { input: { name: newName(), ...input }, format })).createHost;
}

async function regenerate(server: Muster, id: string) {
	return (await asAdmin(server, `mutation ($id: ID!) { regenerateHostToken(id: $id) ${payload} }`, { id })).regenerateHostToken;
}

async function deleteHost(server: Muster, id: string): Promise<string> {
	return (await asAdmin(server, "mutation ($id: ID!) { deleteHost(id: $id) { deletedId } }", { id })).deleteHost.deletedId;
}

async function hostNow(server: Muster, id: string) {
	return (await asAdmin(server, `query ($id: ID!) { host(id: $id) { ${shown} } }`, { id })).host;
}

/** A claim by a host token; a machine and enrollment of its own. */
const claim = (token: string, name: string, facts: object = {}, secret = sharedSecret) => ({
	enrollmentId: hex(16),
	credential: { hostToken: { token, sharedSecret: secret } },
	worker: { name, hostname: "robot", machineUid: `uid-${hex(12)}`, ...facts },
});

const verdict = ({ status, data }: GraphQLReply) => [status, data.enroll.reason ?? data.enroll.outcome];

/** What a snippet sets the worker's variables to, found out by the very programs that it is for. */
const evaluated: Readonly<Record<string, (snippet: string) => Promise<Record<string, string>>>> = {
	async DOCKER(snippet) {
		const words = await inShell(snippet, { docker: `printf '%s\\n' "$@"` });
		expect(words.at(-1)).toBe("muster-worker:latest");
		return variables(words.flatMap((word, index) => (words[index - 1] === "--env" ? [word] : [])));
	},
	async SHELL(snippet) {
		// What curl would download is run by the shell at the end of the line: it says what environment it got.
		const stubs = { curl: `echo "echo CURL=$2; env"`, sudo: `exec "$@"` };
		const { CURL, ...all } = variables(await inShell(snippet, stubs));
		expect(CURL).toBe(`${all["MUSTER_URL"]}/install.sh`);
		return Object.fromEntries(Object.entries(all).filter(([name]) => name.startsWith("MUSTER_")));
	},
	async COMPOSE(snippet) {
		const file = Bun.YAML.parse(snippet) as { services: Record<string, { image: string; environment: Record<string, string> }> };
		expect(file.services["muster-worker"]?.image).toBe("muster-worker:latest");
		const filled = Object.entries(file.services["muster-worker"]?.environment ?? {});
		// As compose fills in: `$$` is a dollar, and a lone one would be a variable.
		return Object.fromEntries(
			filled.map(([name, value]) => [name, value.replaceAll(/\$(.)/g, (_, next) => (next === "$" ? "$" : "FILLED IN"))]),
		);
	},
};

const variables = (lines: readonly string[]) =>
	Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]));

/** Checks a snippet's syntax and runs it in a real shell, with these programs in place of the real ones. Returns the lines it printed. */
async function inShell(snippet: string, stubs: Readonly<Record<string, string>>): Promise<readonly string[]> {
	const run = promisify(execFile);
	const directory = await mkdtemp(join(tmpdir(), "muster-snippet-"));
	try {
		for (const [name, body] of Object.entries(stubs)) {
			await writeFile(join(directory, name), `#!/bin/sh\n${body}\n`);
			await chmod(join(directory, name), 0o755);
		}
		const env = { PATH: `${directory}:/usr/bin:/bin`, HOME: "/nowhere" };
		await run("sh", ["-n", "-c", snippet], { env });
		return (await run("sh", ["-c", snippet], { env })).stdout.trimEnd().split("\n");
	} finally {
		await rm(directory, { recursive: true });
	}
}

onEachRuntime(
	"hosts",
	(bench) => {
		describe("createHost (H1, H3)", () => {
			test("makes a PENDING host of the site, with a token for 24 hours that is shown once and stands nowhere in clear", async () => {
				const { siteCode } = await newSite(bench.server);
				const before = Date.now();
				const { host, secret } = await createHost(bench.server, { siteCode });
				expect(host).toMatchObject({
					state: "PENDING",
					lastKnownState: "PENDING",
					worker: null,
					site: { code: siteCode },
					recentAttempts: [],
				});
				const leftMs = Date.parse(host.tokenExpiresAt) - before;
				expect([leftMs >= dayMs, leftMs <= dayMs + (Date.now() - before)]).toEqual([true, true]);
				const token = parseToken(secret);
				expect(token?.kind).toBe("host");
				const seen = [
					await hostNow(bench.server, host.id),
					await asAdmin(bench.server, "{ auditLog { nodes { action subject detail } } }"),
				];
				expect(JSON.stringify(seen)).toContain("host.created");
				expect(JSON.stringify(seen)).not.toContain(token?.secret);
				for (const table of ["keys", "hosts", "audit", "events", "attempts"]) {
					expect([table, await rowCount(bench.database.db, `${table} it`, `it::text like '%${token?.secret}%'`)]).toEqual([table, 0]);
				}
			});

			test("an unknown site is NOT_FOUND, naming it; a name that is empty or begins with a space is BAD_USER_INPUT", async () => {
				const unknown = String(await failureOf(createHost(bench.server, { siteCode: "no-such-site" })));
				for (const part of ["NOT_FOUND", "no-such-site"]) expect(unknown).toContain(part);
				for (const name of ["", " robot"]) expect(String(await failureOf(createHost(bench.server, { name })))).toContain("BAD_USER_INPUT");
			});

			test("a name that waits already is CONFLICT, naming the host that waits; also of two at once", async () => {
				const name = newName();
				const both = await Promise.allSettled([createHost(bench.server, { name }), createHost(bench.server, { name })]);
				const [made] = both.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
				const refused = both.flatMap((result) => (result.status === "rejected" ? [String(result.reason)] : []));
				expect(refused).toHaveLength(1);
				for (const part of ["CONFLICT", name, made.host.id]) expect(refused[0]).toContain(part);
				expect(String(await failureOf(createHost(bench.server, { name })))).toContain("CONFLICT");
				await enroll(bench.server, claim(made.secret, name));
				expect((await createHost(bench.server, { name })).host.id).not.toBe(made.host.id);
			});

			test.each(["DOCKER", "SHELL", "COMPOSE"])(
				"the %s snippet gives the worker address, token, shared secret and node name, letter for letter whatever they hold",
				async (format) => {
					const name = `robot ${hex(3)} ${awkward}`;
					const { secret, snippet } = await createHost(bench.server, { name }, format);
					expect(await evaluated[format]?.(snippet)).toEqual({
						MUSTER_URL: bench.server.url,
						MUSTER_ENROLL_TOKEN: secret,
						MUSTER_SHARED_SECRET: sharedSecret,
						MUSTER_NODE_NAME: name,
					});
				},
			);

			test("the snippet is docker run unless asked otherwise", async () => {
				expect((await createHost(bench.server)).snippet).toStartWith("docker run ");
			});
		});

		describe("enrolling with a host token (H3, H4, H8)", () => {
			test("binds the worker to the host and its site, makes it MONITORING, and uses the token up", async () => {
				const { siteCode } = await newSite(bench.server);
				const { host, secret } = await createHost(bench.server, { siteCode });
				const reply = await enroll(bench.server, claim(secret, host.name));
				expect(verdict(reply)).toEqual([200, "NEW"]);
				const { workerId, hostId, apiKey } = reply.data.enroll;
				expect(hostId).toBe(host.id);
				expect(await hostNow(bench.server, host.id)).toMatchObject({
					state: "MONITORING",
					tokenExpiresAt: null,
					site: { code: siteCode },
					worker: { id: workerId, method: "HOST_TOKEN", site: { code: siteCode } },
				});
				expect((await heartbeat(bench.server, { workerId, apiKey })).errors).toEqual([]);
				expect(verdict(await enroll(bench.server, claim(secret, host.name)))).toEqual([410, "already_consumed"]);
				expect(await rowCount(bench.database.db, "alerts", `kind = 'KEY_EXHAUSTED' and worker_id = '${workerId}'`)).toBe(0);
			});

			test("under another name is not_allowed, 403, naming both, and leaves the token unused", async () => {
				const { host, secret } = await createHost(bench.server);
				const reply = await enroll(bench.server, claim(secret, "some other robot"));
				expect(verdict(reply)).toEqual([403, "not_allowed"]);
				for (const name of [host.name, "some other robot"]) expect(reply.data.enroll.message).toContain(`"${name}"`);
				expect(verdict(await enroll(bench.server, claim(secret, host.name)))).toEqual([200, "NEW"]);
			});

			test("with a wrong shared secret is bad_secret, 401; an expired token is expired, 410", async () => {
				const { host, secret } = await createHost(bench.server);
				expect(verdict(await enroll(bench.server, claim(secret, host.name, {}, `${sharedSecret}.`)))).toEqual([401, "bad_secret"]);
				await bench.database.db.sql`update keys set expires_at = now() - interval '1 second' where host_id = ${host.id}`;
				expect(verdict(await enroll(bench.server, claim(secret, host.name)))).toEqual([410, "expired"]);
				expect((await hostNow(bench.server, host.id)).tokenExpiresAt).toBeNull();
			});

			test("the host shows its recent attempts, newest first, the refused ones too", async () => {
				const { host, secret } = await createHost(bench.server);
				await enroll(bench.server, claim(secret, host.name, {}, "the wrong secret of the whole cluster"));
				await enroll(bench.server, claim(secret, "another"));
				await enroll(bench.server, claim(secret, host.name));
				await enroll(bench.server, claim(secret, host.name));
				const { recentAttempts } = await hostNow(bench.server, host.id);
				expect(recentAttempts).toEqual([
					{ accepted: false, outcome: null, reason: "already_consumed", claimedName: host.name },
					{ accepted: true, outcome: "NEW", reason: null, claimedName: host.name },
					{ accepted: false, outcome: null, reason: "not_allowed", claimedName: "another" },
					{ accepted: false, outcome: null, reason: "bad_secret", claimedName: host.name },
				]);
			});
		});

		describe("regenerateHostToken (H1)", () => {
			test("ends the unused token with revoked, 410; the new one works, for 24 hours more", async () => {
				const { host, secret } = await createHost(bench.server);
				await bench.database.db.sql`update keys set expires_at = now() + interval '1 hour' where host_id = ${host.id}`;
				const again = await regenerate(bench.server, host.id);
				expect(again.secret).not.toBe(secret);
				expect(again.snippet).toContain(again.secret);
				expect(Date.parse(again.host.tokenExpiresAt) - Date.now()).toBeGreaterThan(dayMs - 3_600_000);
				expect(verdict(await enroll(bench.server, claim(secret, host.name)))).toEqual([410, "revoked"]);
				expect(verdict(await enroll(bench.server, claim(again.secret, host.name)))).toEqual([200, "NEW"]);
				expect(String(await failureOf(regenerate(bench.server, "hst_none")))).toContain("NOT_FOUND");
			});

			test("lets a machine with another uid go on as the host's worker: REUSED; the old credential dies when the new one is first used", async () => {
				const { host, secret } = await createHost(bench.server);
				const old = (await enroll(bench.server, claim(secret, host.name))).data.enroll;
				expect((await heartbeat(bench.server, old)).errors).toEqual([]);
				const again = await regenerate(bench.server, host.id);
				const young = (await enroll(bench.server, claim(again.secret, host.name))).data.enroll;
				expect(young).toMatchObject({ outcome: "REUSED", workerId: old.workerId, hostId: host.id });
				expect((await heartbeat(bench.server, old)).errors).toEqual([]);
				expect((await heartbeat(bench.server, young)).errors).toEqual([]);
				expect((await heartbeat(bench.server, old)).errors[0]?.extensions?.["code"]).toBe("UNAUTHENTICATED");
				expect(await rowCount(bench.database.db, "workers", `name = '${host.name}'`)).toBe(1);
			});
		});

		describe("deleteHost (H1)", () => {
			test("cuts the worker off: its socket is closed with 4423, its heartbeat UNAUTHENTICATED; host and worker are gone", async () => {
				const { host, secret } = await createHost(bench.server);
				const { workerId, apiKey } = (await enroll(bench.server, claim(secret, host.name))).data.enroll;
				const socket = new WebSocket(`${bench.server.url.replace("http", "ws")}/graphql`, "graphql-transport-ws");
				const closed = new Promise<number>((resolve) => socket.addEventListener("close", ({ code }) => resolve(code)));
				const init = { type: "connection_init", payload: { workerId, apiKey, nodeName: host.name } };
				socket.addEventListener("open", () => socket.send(JSON.stringify(init)));
				await soon("an acknowledgement", new Promise((resolve) => socket.addEventListener("message", resolve)));
				expect(await deleteHost(bench.server, host.id)).toBe(host.id);
				expect(await soon("the socket closes", closed)).toBe(4423);
				expect((await heartbeat(bench.server, { workerId, apiKey })).errors[0]?.extensions?.["code"]).toBe("UNAUTHENTICATED");
				expect(await hostNow(bench.server, host.id)).toBeNull();
				expect(await rowCount(bench.database.db, "workers", `id = '${workerId}'`)).toBe(0);
				expect(String(await failureOf(deleteHost(bench.server, host.id)))).toContain("NOT_FOUND");
			});

			test("its token, also one that was proven before, answers like one that never was: invalid_token, 401, one text", async () => {
				const { host, secret } = await createHost(bench.server);
				await enroll(bench.server, claim(secret, "another"));
				await deleteHost(bench.server, host.id);
				const gone = await enroll(bench.server, claim(secret, host.name));
				const never = await enroll(bench.server, claim(mintToken("host", Buffer.from(hex(38), "hex")).text, host.name));
				expect(verdict(gone)).toEqual([401, "invalid_token"]);
				expect(gone.data.enroll).toEqual({ ...never.data.enroll, serverTime: expect.any(String) });
			});
		});
	},
	{ MUSTER_SHARED_SECRET: sharedSecret },
);
