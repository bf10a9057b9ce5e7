/** The compiled worker against a real server on both runtimes: every way in that is not a site key, and an operator's word while it waits. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { enroll, heartbeat } from "../api/support.ts";
import { asAdmin } from "../support/muster.ts";
import { enrollInput } from "../support/pipeline.ts";
import { runtimeNames } from "../support/runtimes.ts";
import { Machine, runWorker } from "../worker/support.ts";
import { Fleet, keptId, soon, testMs, until } from "./support.ts";

const secret = "the auto-enrollment secret of these tests";
const sharedSecret = 'the cluster\'s "shared" $ecret of these tests';

/** Debian's libfaketime, which lies to one process about the time; undefined when it is not installed. */
const libfaketime = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"]
	.map((dir) => join(dir, "faketime"))
	.flatMap((dir) => list(dir).map((file) => join(dir, file)))
	.find((path) => path.endsWith("libfaketime.so.1"));

function list(dir: string): readonly string[] {
	try {
		return readdirSync(dir);
	} catch {
		return [];
	}
}

/** The variables that a DOCKER snippet hands to the worker, as a shell reads them. */
function variablesOf(snippet: string): Record<string, string> {
	const words = [...snippet.matchAll(/--env (\w+)=('(?:[^']|'\\'')*')/g)];
	return Object.fromEntries(words.map(([, name = "", quoted = ""]) => [name, quoted.slice(1, -1).replaceAll("'\\''", "'")]));
}

describe.each([...runtimeNames])("on %s", (runtime) => {
	let fleet: Fleet;
	beforeAll(async () => {
		fleet = await Fleet.start({ runtime, env: { MUSTER_SHARED_SECRET: sharedSecret } });
		await asAdmin(
			fleet.server,
			"mutation ($input: ConfigureAutoEnrollmentInput!) { configureAutoEnrollment(input: $input) { autoEnrollment { enabled } } }",
			{
				input: { enabled: true, enrollmentSecret: secret },
			},
		);
	}, testMs);
	afterAll(() => fleet[Symbol.asyncDispose](), testMs);

	const workerOf = async (machine: Machine) =>
		(
			await asAdmin(fleet.server, "query ($id: ID!) { worker(id: $id) { id name state method autoEnrolled online host { name state } } }", {
				id: keptId(machine),
			})
		).worker;
	const attemptsAs = async (name: string) => {
		const { enrollmentAttempts } = await asAdmin(
			fleet.server,
			"{ enrollmentAttempts(first: 50) { nodes { claimedName reason outcome } } }",
		);
		return enrollmentAttempts.nodes
			.filter(({ claimedName }: { claimedName: string }) => claimedName === name)
			.map(({ reason, outcome }: { reason: string | null; outcome: string | null }) => reason ?? outcome)
			.reverse();
	};
	const auto = (name: string) => ({ MUSTER_URL: fleet.server.url, MUSTER_AUTO_ENROLLMENT_KEY: secret, MUSTER_WORKER_NAME: name });

	test(
		"A6 A8 A9: machines enroll by HMAC, share one API key and are heard; a restart needs no secret",
		async () => {
			using first = new Machine();
			using second = new Machine();
			for (const [machine, name] of [
				[first, "auto-1"],
				[second, "auto-2"],
			] as const) {
				await using worker = await runWorker(machine, [], auto(name));
				await soon("the connection", worker.line("worker.connected"));
				await until("a heartbeat", async () => (await workerOf(machine)).online);
				expect(await workerOf(machine)).toMatchObject({
					name,
					method: "AUTO_ENROLLMENT",
					autoEnrolled: true,
					host: { state: "MONITORING" },
				});
			}
			expect(first.read(".MUSTER_WORKER_API_KEY")).toBe(second.read(".MUSTER_WORKER_API_KEY"));
			expect(keptId(first)).not.toBe(keptId(second));
			await using again = await runWorker(first, []);
			await soon("the connection", again.line("worker.connected"));
			expect(await attemptsAs("auto-1")).toEqual(["NEW"]);
		},
		testMs,
	);

	test(
		"A10: without its two credential files a machine enrolls by HMAC as the same worker, with no duplicate",
		async () => {
			using machine = new Machine();
			await using first = await runWorker(machine, ["enroll"], auto("auto-again"));
			expect(await soon("the enrollment", first.exited)).toBe(0);
			const id = keptId(machine);
			for (const file of [".MUSTER_WORKER_ID", ".MUSTER_WORKER_API_KEY"]) rmSync(join(machine.stateDir, file));
			await using again = await runWorker(machine, ["enroll"], auto("auto-again"));
			expect(await soon("the enrollment", again.exited)).toBe(0);
			expect(keptId(machine)).toBe(id);
			expect(await attemptsAs("auto-again")).toEqual(["NEW", "REUSED"]);
		},
		testMs,
	);

	test.skipIf(libfaketime === undefined)(
		"A6: a machine whose clock is wrong by a day, either way, enrolls by HMAC in two requests (needs libfaketime)",
		async () => {
			for (const offset of ["-1d", "+1d"]) {
				using machine = new Machine();
				const name = `clock${offset}`;
				const wrong = { LD_PRELOAD: libfaketime ?? "", FAKETIME: offset, FAKETIME_DONT_FAKE_MONOTONIC: "1" };
				await using worker = await runWorker(machine, [], { ...auto(name), ...wrong });
				await soon("the connection", worker.line("worker.connected"));
				await until("a heartbeat", async () => (await workerOf(machine)).online);
				expect(await attemptsAs(name)).toEqual(["clock_skew", "NEW"]);
			}
		},
		testMs,
	);

	test(
		"A4 A16: a wrong secret stops the worker with 77 and its code in the log; the server never logs the secret",
		async () => {
			using machine = new Machine();
			const wrong = "a secret that nobody has ever configured";
			await using worker = await runWorker(machine, [], { ...auto("guesser"), MUSTER_AUTO_ENROLLMENT_KEY: wrong });
			expect(await soon("its end", worker.exited)).toBe(77);
			expect(worker.lastWords).toMatchObject({ message: "worker.stopped", reason: "bad_secret" });
			expect(await attemptsAs("guesser")).toEqual(["bad_secret"]);
			expect(fleet.server.stderr()).not.toContain(wrong);
		},
		testMs,
	);

	test(
		"H1 H3: what createHost's snippet hands over enrolls the worker as that host; a second machine is told already_consumed",
		async () => {
			using machine = new Machine();
			using late = new Machine();
			const { createHost } = await asAdmin(
				fleet.server,
				"mutation { createHost(input: { name: \"node '7'\" }, format: DOCKER) { host { id state } snippet } }",
			);
			expect(createHost.host.state).toBe("PENDING");
			const given = variablesOf(createHost.snippet);
			await using worker = await runWorker(machine, [], given);
			await soon("the connection", worker.line("worker.connected"));
			const { host } = await asAdmin(fleet.server, "query ($id: ID) { host(id: $id) { state worker { id } } }", { id: createHost.host.id });
			expect(host).toEqual({ state: "MONITORING", worker: { id: keptId(machine) } });
			await using second = await runWorker(late, [], given);
			expect(await soon("its end", second.exited)).toBe(77);
			expect(second.lastWords).toMatchObject({ reason: "already_consumed" });
		},
		testMs,
	);

	test(
		"A12: a worker that an admin made starts with its id and key only, and its host begins its life with the first heartbeat",
		async () => {
			using machine = new Machine();
			const { createWorker } = await asAdmin(
				fleet.server,
				'mutation { createWorker(input: { name: "made", id: "made-by-hand" }) { secret worker { id host { state } } } }',
			);
			expect(createWorker.worker.host.state).toBe("PENDING");
			const given = { MUSTER_URL: fleet.server.url, MUSTER_WORKER_ID: "made-by-hand", MUSTER_WORKER_API_KEY: String(createWorker.secret) };
			await using worker = await runWorker(machine, [], given);
			await soon("the connection", worker.line("worker.connected"));
			const found = () => asAdmin(fleet.server, '{ worker(id: "made-by-hand") { method online host { state } } }');
			await until("MONITORING", async () => (await found()).worker.host.state === "MONITORING");
			expect((await found()).worker).toMatchObject({ method: "API_KEY", online: true });
		},
		testMs,
	);

	test.each([
		["ADOPT", "REUSED"],
		["SPLIT", "NEW"],
	])(
		"S5: the second machine of one identity waits, and goes on without a restart when an operator says %s",
		async (verdict, outcome) => {
			using machine = new Machine();
			const site = `site-${crypto.randomUUID().slice(0, 8)}`;
			const settings = fleet.settings(site, await fleet.site(site), "twin");
			// The incumbent: the same machine id under another hostname, played over HTTP.
			await using scout = await runWorker(machine, ["enroll"], settings);
			expect(await soon("the enrollment", scout.exited)).toBe(0);
			const { worker } = await asAdmin(fleet.server, "query ($id: ID!) { worker(id: $id) { machineUid } }", { id: keptId(machine) });
			const incumbent = (
				await enroll(fleet.server, {
					...enrollInput({
						siteCode: site,
						key: settings["MUSTER_ENROLL_TOKEN"] ?? "",
						hostname: "the-incumbent",
						machineUid: worker.machineUid,
					}),
				})
			).data.enroll;
			expect(incumbent.outcome).toBe("REUSED");
			using clone = new Machine();
			const same = { ...settings, MUSTER_MACHINE_ID_FILE: machine.machineIdFile };
			await until("the incumbent online", async () => {
				await heartbeat(fleet.server, incumbent);
				return (await fleet.workers(site)).find(({ online }) => online);
			});
			await using second = await runWorker(clone, [], same);
			const held = await until("the hold", async () => {
				await heartbeat(fleet.server, incumbent);
				return second.lines.find(({ message }) => message === "enrollment.held");
			});
			expect(held).toMatchObject({ reason: "COLLISION" });
			await asAdmin(
				fleet.server,
				"mutation ($id: ID!, $verdict: CollisionVerdict!) { resolveCollision(workerId: $id, verdict: $verdict) { worker { state } } }",
				{
					id: held["workerId"],
					verdict,
				},
			);
			const enrolled = await soon("the enrollment", second.line("worker.enrolled"));
			expect(enrolled).toMatchObject({ outcome });
			await soon("the connection", second.line("worker.connected"));
			expect((await fleet.workers(site)).length).toBe(verdict === "ADOPT" ? 1 : 2);
		},
		testMs,
	);
});
