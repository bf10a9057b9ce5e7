/** S10, field by field: the schema is walked as introspection tells it, so that what is added to it is walked too, or fails here. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type GraphQLSchema, isInterfaceType } from "graphql";
import { claimedKind, parseToken } from "../../src/protocol/token.ts";
import type { GraphQLReply } from "../support/muster.ts";
import { startFakeHeadscale } from "../support/fakes/headscale.ts";
import { hex, rowCount, sharedSecret } from "../support/pipeline.ts";
import { until } from "../support/until.ts";
import { openReceiver, type Receiver } from "../unit/webhooks/receiver.ts";
import { unknownToken, withOtherSecret } from "./refusals-ways.ts";
import { type Bench, enroll, heartbeat, onEachRuntime } from "./support.ts";
import { allAtOnce, type Case, casesOf, forEachOf, marksIn, secretsIn, shapeOf, type Walk, without } from "./tenant-walk-cases.ts";
import {
	type Asker,
	ask,
	bySiteKey,
	must,
	newOwner,
	newShared,
	newStranger,
	type Owner,
	type Stranger,
	tokenFor,
	walkEnv,
} from "./tenant-walk-owner.ts";
import { fieldsOf, introspect, leavesOf, type Operation } from "./tenant-walk-schema.ts";
import { namesOthers, tellAgain, work } from "./tenant-walk-stock.ts";
import { openStreams, type Streams } from "./tenant-walk-streams.ts";
import { type Belongings, belongingsOf, notWalked, rowsOf, valuesFor } from "./tenant-walk-values.ts";

/** Before the servers, which are told where it is. */
const mesh = await startFakeHeadscale("0.28.0");
afterAll(() => mesh.stop());
let receiver: Receiver;
beforeAll(async () => {
	receiver = await openReceiver();
});
afterAll(() => receiver.close());

/** With the fields that begin so at the end: they make or take away what others name. */
const inOrder = (cases: readonly Case[], ...last: readonly string[]) => {
	const rank = ({ field }: Case) => last.findIndex((start) => field.startsWith(start));
	return [...cases].sort((left, right) => rank(left) - rank(right));
};
/** Queries that show nothing even to the owner: a host is looked up by one of its arguments, the mesh is the server's. */
const saysNothing = new Set(["host", "mesh"]);

onEachRuntime(
	"the walk over the schema",
	(bench: Bench) => {
		let schema: GraphQLSchema;
		let owner: Owner;
		let other: Stranger;
		let mutator: Stranger;
		let its: Belongings;
		const typenames = new Map<string, string>();

		beforeAll(async () => {
			const shared = newShared();
			owner = await newOwner(bench, shared, receiver, mesh);
			other = await newStranger(bench.server, shared);
			mutator = await newStranger(bench.server, shared);
			schema = await introspect(bench.server, other.token);
			const lists = fieldsOf(schema, "query").flatMap(({ name, type }) => (String(type).endsWith("Connection!") ? [name] : []));
			its = await belongingsOf(bench, owner, shared, lists);
			await forEachOf(its.ids, async (id) => {
				const { node } = await must(bench.server, owner, "query ($id: ID!) { node(id: $id) { __typename } }", { id });
				if (node !== null) typenames.set(id, String(node.__typename));
			});
		}, 60_000);

		const walk = (operation: Operation, asker: Asker): Walk => ({ schema, operation, its, asker, typenames });
		const fields = (operation: Operation) => fieldsOf(schema, operation).filter(({ name }) => !notWalked[operation].includes(name));
		const ways = (operation: Operation, asker: Asker): Case[] =>
			fields(operation).flatMap((field) => casesOf(walk(operation, asker), field));

		describe("walks all there is (S10)", () => {
			test("every argument and input field of every field can be filled, and names what is the owner's where it can", () => {
				for (const operation of ["query", "mutation", "subscription"] as const) {
					const leaves = fields(operation).flatMap(leavesOf);
					expect(leaves.filter((leaf) => valuesFor(leaf, its).length === 0)).toEqual([]);
					const walked = new Set(ways(operation, mutator).flatMap(({ field, leaf }) => [field, leaf]));
					expect(
						fields(operation)
							.flatMap((field) => [field.name, ...leavesOf(field).map(({ name }) => name)])
							.filter((name) => !walked.has(name)),
					).toEqual([]);
				}
			});

			test("the owner has a row in every table that knows tenants, and a node of every type", async () => {
				const empty = Object.entries(await rowsOf(bench, owner.id)).filter(([, { count }]) => count === 0);
				expect(empty.map(([name]) => name)).toEqual(["muster_migrations has no tenant"]);
				const node = schema.getType("Node");
				const types = isInterfaceType(node) ? schema.getPossibleTypes(node).map(({ name }) => name) : [];
				expect([...new Set(typenames.values())].sort()).toEqual(types.sort());
			});
		});

		describe("queries (S10)", () => {
			test("another tenant's admin gets nothing of the owner's, and the answer for what does not exist", async () => {
				const cases = ways("query", other);
				const wrong: unknown[] = [];
				await forEachOf(cases, async (one) => {
					const reply = await ask(bench.server, other, one.document, one.variables);
					const text = without(reply, one.asked);
					const marks = marksIn(text, its);
					if (marks.length > 0) wrong.push([one.leaf, one.asked, marks]);
					if (text.includes("INTERNAL_SERVER_ERROR") || text.includes("The operation's")) wrong.push([one.leaf, one.variables, text]);
					if (one.twin === undefined || one.shared) return;
					const none = without(await ask(bench.server, other, one.document, one.twin.variables), one.twin.asked);
					if (text !== none) wrong.push([one.leaf, one.variables, text, none]);
				});
				expect(wrong).toEqual([]);
				expect(new Set(cases.map(({ field }) => field)).size).toBe(fieldsOf(schema, "query").length);
			}, 120_000);

			test("the owner's admin sees by each argument of them what is the owner's", async () => {
				const cases = ways("query", owner).filter(({ leaf }) => !saysNothing.has(leaf) && !leaf.endsWith(allAtOnce));
				const blind = new Set(cases.map(({ leaf }) => leaf));
				await forEachOf(cases, async ({ leaf, document, variables, asked }) => {
					const text = without(await ask(bench.server, owner, document, variables), asked);
					if (marksIn(text, its).length > 0) blind.delete(leaf);
				});
				expect([...blind]).toEqual([]);
			}, 120_000);

			test.each(["admin", "operator", "viewer"] as const)(
				"the owner's %s is shown no secret a second time by any of them",
				async (role) => {
					const token = await tokenFor(owner.slug, role);
					const shown: unknown[] = [];
					await forEachOf(ways("query", owner), async ({ leaf, document, variables, asked }) => {
						const secrets = secretsIn(without(await ask(bench.server, { token }, document, variables), asked), [
							...owner.secrets,
							sharedSecret,
						]);
						if (secrets.length > 0) shown.push([leaf, secrets]);
					});
					expect(shown).toEqual([]);
				},
				120_000,
			);
		});

		describe("subscriptions (S10)", () => {
			test("another tenant's admin is told nothing of the owner's, whatever they name, while the owner's own are told", async () => {
				const cases = ways("subscription", other);
				const [mine, theirs] = [openStreams(bench.server, owner.token, cases), openStreams(bench.server, other.token, cases)];
				/** One event of every kind in a tenant: an attempt, a new host and an alert, a heartbeat, a host that comes back, and what its worker does. */
				const happens = async (tenant: Asker, name: string, worker: { workerId: string; apiKey: string }) => {
					await bench.database.db
						.sql`update hosts set state = 'DEGRADED', last_known_state = 'MONITORING' where tenant_id = ${tenant.id} and worker_id = ${worker.workerId}`;
					await enroll(bench.server, bySiteKey(tenant.slug, tenant.siteCode, tenant.key, { name }));
					expect((await heartbeat(bench.server, worker)).errors).toEqual([]);
					await work(bench, tenant, worker, name);
				};
				/** Those that were not told of anything. Of all at once, one argument may rule out another. */
				const deaf = ({ streams }: Streams) => {
					const told = new Set(streams.flatMap(({ one, received }) => (received.length > 0 ? [one.leaf] : [])));
					return streams.filter(({ one }) => !told.has(one.leaf) && !one.leaf.endsWith(allAtOnce)).map(({ one }) => one.leaf);
				};
				// A stream that was refused or cut is told of nothing more, and says why at the end.
				const ill = () => mine.problems.length + theirs.problems.length > 0;
				const settled = () =>
					until("the hosts are back", async () => (await rowCount(bench.database.db, "hosts", "state = 'DEGRADED'")) === 0);
				try {
					await until("all are told of their own", async () => {
						await happens(owner, `unfamiliar to ${owner.tag}`, owner.worker);
						await tellAgain(bench, owner);
						await happens(other, "unfamiliar", other);
						const isMissed = (leaf: string, index: number, all: string[]) => !namesOthers.includes(leaf) || all.indexOf(leaf) !== index;
						return ill() || ![...deaf(mine), ...deaf(theirs)].some(isMissed);
					});
					// Once more, the owner first: when the other was told of its own, it would have been told of the owner's.
					await happens(owner, `unfamiliar to ${owner.tag}`, owner.worker);
					await tellAgain(bench, owner);
					await settled();
					const last = `unfamiliar-${hex(6)}`;
					const beats = () => theirs.streams.find(({ one }) => one.leaf === "heartbeat")?.received.length ?? 0;
					const beatsBefore = beats();
					await happens(other, last, other);
					const unheard = () =>
						theirs.streams.flatMap(({ one: { leaf, field }, received }) =>
							leaf !== field || field === "heartbeat" || received.some((text) => text.includes(last)) ? [] : [leaf],
						);
					await until("the other is told of its last", () => ill() || (beats() > beatsBefore && unheard().length === 0)).catch(() => {});
					await settled();
					await theirs.answered();
					expect([beats() > beatsBefore, unheard(), mine.problems, theirs.problems]).toEqual([true, [], [], []]);
					const leaks = theirs.streams.flatMap(({ one, received }) =>
						received.filter((text) => marksIn(text, its).length > 0).map((text) => [one.leaf, text]),
					);
					expect(leaks).toEqual([]);
					expect(mine.streams.flatMap(({ received }) => received).filter((text) => marksIn(text, its).length === 0)).toEqual([]);
				} finally {
					await Promise.all([mine.close(), theirs.close()]);
				}
			}, 60_000);
		});

		describe("keys that are shown where they do not belong (S10)", () => {
			/** All that an admin sees of its tenant without naming anything. */
			const view = async (tenant: Asker) => {
				const texts: string[] = [];
				for (const one of ways("query", other).filter(({ leaf, field }) => leaf === field))
					texts.push(without(await ask(bench.server, tenant, one.document, one.variables), []));
				return texts;
			};
			const neutral = () => ({ enrollmentId: hex(16), worker: { name: "robot-1", machineUid: `uid-${hex(12)}` } });

			test("enrolling with another secret under the selectors of the owner's keys leaves nothing in what the other sees", async () => {
				const tokens = owner.secrets.filter((text) => parseToken(text) !== undefined && claimedKind(text) !== "worker");
				const credentials: object[] = tokens.map(withOtherSecret).map((text) => {
					if (claimedKind(text) === "enroll") return { enrollmentKey: text };
					if (claimedKind(text) === "host") return { hostToken: { token: text, sharedSecret } };
					return { siteKey: { tenant: owner.slug, siteCode: owner.siteCode, key: text } };
				});
				const timestamp = new Date().toISOString();
				credentials.push({ autoEnrollment: { tenant: owner.slug, nonce: hex(16), timestamp, mac: hex(32) } });
				const before = await view(other);
				const attempts = () => rowCount(bench.database.db, "attempts", `tenant_id = '${owner.id}' and not accepted`);
				const refused = await attempts();
				for (const credential of credentials) await enroll(bench.server, { ...neutral(), credential });
				expect(await attempts()).toBe(refused + credentials.length);
				expect(await view(other)).toEqual(before);
			});

			test("the owner's site keys under the other's name are refused like unknown ones, and what is on record of it names nothing of the owner's", async () => {
				const keys = owner.secrets.filter((text) => claimedKind(text) === "site");
				for (const key of keys) {
					const credential = (text: string) => ({ siteKey: { tenant: other.slug, siteCode: other.siteCode, key: text } });
					const [shown, unknown] = [key, unknownToken("site")].map((text) =>
						enroll(bench.server, { ...neutral(), credential: credential(text) }),
					);
					const texts = [without((await shown) as GraphQLReply, []), without((await unknown) as GraphQLReply, [])].map(shapeOf);
					expect(texts[0]).toBe(texts[1] ?? "");
				}
				const seen = (await view(other)).join("\n");
				expect(seen).toContain("invalid_token");
				expect(marksIn(seen, its)).toEqual([]);
			});

			test("a worker's key and another tenant's worker id are refused like an unknown key, and the other way round", async () => {
				const made = "mutation ($input: CreateWorkerInput!) { createWorker(input: $input) { secret worker { id } } }";
				const { createWorker } = await must(bench.server, other, made, { input: { name: "robot-2" } });
				const theirs = { workerId: String(createWorker.worker.id), apiKey: String(createWorker.secret) };
				const workerIds = its.ids.filter((id) => typenames.get(id) === "Worker" && id !== its.shared.workerId);
				const pairs = [
					...owner.apiKeys.map((apiKey) => ({ apiKey, workerId: theirs.workerId })),
					...workerIds.map((workerId) => ({ apiKey: theirs.apiKey, workerId })),
				];
				for (const pair of pairs) {
					const [mixed, unknown] = [
						await heartbeat(bench.server, pair),
						await heartbeat(bench.server, { ...pair, apiKey: unknownToken("worker") }),
					];
					expect(without(mixed, [])).toBe(without(unknown, []));
					expect(mixed.errors[0]?.extensions?.["code"]).toBe("UNAUTHENTICATED");
				}
				expect((await heartbeat(bench.server, theirs)).errors).toEqual([]);
			});
		});

		describe("mutations (S10)", () => {
			test("by another tenant's admin answer as for what does not exist, and nothing of the owner's changes", async () => {
				const before = await rowsOf(bench, owner.id);
				const wrong: unknown[] = [];
				// One after the other: each may change what the next one finds of the asker's own. What it creates may be called as the owner's is.
				for (const one of inOrder(ways("mutation", mutator), "delete", "create")) {
					const reply = await ask(bench.server, mutator, one.document, one.variables);
					const text = without(reply, one.asked);
					const marks = marksIn(text, its);
					if (marks.length > 0) wrong.push([one.leaf, one.asked, marks]);
					if (text.includes("INTERNAL_SERVER_ERROR") || text.includes("The operation's")) wrong.push([one.leaf, one.variables, text]);
					if (one.type === "ID" && !one.shared && reply.errors[0]?.extensions?.["code"] !== "NOT_FOUND")
						wrong.push([one.leaf, one.variables, text]);
					if (one.twin === undefined || one.shared) continue;
					const none = without(await ask(bench.server, mutator, one.document, one.twin.variables), one.twin.asked);
					if (shapeOf(text) !== shapeOf(none)) wrong.push([one.leaf, one.variables, text, none]);
				}
				expect(wrong).toEqual([]);
				expect(await rowsOf(bench, owner.id)).toEqual(before);
			}, 120_000);

			test("asked by the owner's admin, the same requests reach what they name", async () => {
				const cases = ways("mutation", owner).filter(({ type, leaf }) => type === "ID" || leaf.endsWith("siteCode"));
				const missed = new Set(cases.map(({ leaf }) => leaf));
				for (const { leaf, document, variables } of inOrder(cases, "delete")) {
					if (!missed.has(leaf)) continue;
					const { errors } = await ask(bench.server, owner, document, variables);
					if (errors[0]?.extensions?.["code"] !== "NOT_FOUND") missed.delete(leaf);
				}
				expect([...missed]).toEqual([]);
			}, 60_000);
		});
	},
	walkEnv(mesh),
);
