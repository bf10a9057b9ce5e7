import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { serviceHash } from "../../../src/engine/stack-labels.ts";
import type { StackModel, StackService } from "../../../src/engine/stack-model.ts";
import { planStack, type Seen, type SeenContainer, type SeenPart, type Step } from "../../../src/engine/stack-plan.ts";
import { needs, network, service, stack, volume } from "../../support/stack-models.ts";
import { after, nothing } from "./stack-world.ts";

const web = service("web", { dependsOn: [needs("db", "service_healthy")] });
const db = service("db");
const shop = stack([web, db]);

/** What a plan says, one line a step. */
function said(model: StackModel, seen: Seen, only?: string): readonly string[] {
	const plan = planStack(model, seen, only === undefined ? {} : { only });
	if (plan.kind === "refuse") return [`${plan.code}: ${plan.why}`];
	return plan.steps.map(line);
}
function line(step: Step): string {
	switch (step.kind) {
		case "network.create":
			return `+ network ${step.network.name}`;
		case "volume.create":
			return `+ volume ${step.volume.name}`;
		case "network.remove":
			return `- network ${step.name}`;
		case "container.create":
			return `+ ${step.name}`;
		case "container.remove":
			return `- ${step.name}`;
		case "container.rename":
			return `${step.from} -> ${step.to}`;
		case "container.start":
			return `start ${step.name}`;
		case "wait":
			return `wait ${step.service} ${step.condition}`;
		default:
			return step satisfies never;
	}
}
/** The engine after the model was carried out whole. */
const done = (model: StackModel, from: Seen = nothing) => after(model, from);
const with_ = (seen: Seen, change: (it: SeenContainer) => Partial<SeenContainer>) => ({
	...seen,
	containers: seen.containers.map((it) => ({ ...it, ...change(it) })),
});
const changed = (name: string, its: Partial<StackService>) => stack([web, db].map((it) => (it.name === name ? { ...it, ...its } : it)));
const up = done(shop);
const [network0] = up.networks as [SeenPart];
const [container0] = up.containers as [SeenContainer];
const idOf = (name: string) => up.containers.find((it) => it.name === name)?.id ?? "";

const rows: readonly (readonly [string, StackModel, Seen, readonly string[]])[] = [
	[
		"nothing there: parts, then services after those they need",
		shop,
		nothing,
		["+ network shop_default", "+ shop-db-1", "start shop-db-1", "wait db service_healthy", "+ shop-web-1", "start shop-web-1"],
	],
	["all there: nothing", shop, up, []],
	[
		"one changed: only that one is replaced, made before the old one goes",
		changed("web", { environment: { A: "1" } }),
		up,
		[
			"wait db service_healthy",
			`+ ${idOf("shop-web-1")}_shop-web-1`,
			"- shop-web-1",
			`${idOf("shop-web-1")}_shop-web-1 -> shop-web-1`,
			"start shop-web-1",
		],
	],
	["another order, number of replicas at one, or pull policy is no change", stack([db, { ...web, pull: "always" }]), up, []],
	[
		"another image under the same name: replaced",
		shop,
		{ ...up, images: { app: "sha256:new" } },
		[
			"+ id-db_shop-db-1",
			"- shop-db-1",
			"id-db_shop-db-1 -> shop-db-1",
			"start shop-db-1",
			"wait db service_healthy",
			"+ id-web_shop-web-1",
			"- shop-web-1",
			"id-web_shop-web-1 -> shop-web-1",
			"start shop-web-1",
		].map((it) => it.replace("id-db", idOf("shop-db-1")).replace("id-web", idOf("shop-web-1"))),
	],
	[
		"more of one: the missing numbers",
		changed("db", { replicas: 3 }),
		up,
		["+ shop-db-2", "start shop-db-2", "+ shop-db-3", "start shop-db-3"],
	],
	["fewer: the highest go first", shop, done(changed("db", { replicas: 3 })), ["- shop-db-3", "- shop-db-2"]],
	[
		"none of one: it goes, and is not waited for",
		changed("db", { replicas: 0 }),
		with_(up, (it) => (it.service === "web" ? { state: "exited", exitCode: 1 } : {})),
		["- shop-db-1", "start shop-web-1"],
	],
	[
		"one that ended is started, after what it needs",
		shop,
		with_(up, (it) => (it.service === "web" ? { state: "exited", exitCode: 0 } : {})),
		["wait db service_healthy", "start shop-web-1"],
	],
	["made and not started: started", shop, with_(up, (it) => (it.service === "db" ? { state: "created" } : {})), ["start shop-db-1"]],
	[
		"dead: made anew",
		shop,
		with_(up, (it) => (it.service === "db" ? { state: "dead" } : {})),
		[`+ ${idOf("shop-db-1")}_shop-db-1`, "- shop-db-1", `${idOf("shop-db-1")}_shop-db-1 -> shop-db-1`, "start shop-db-1"],
	],
	["paused: left alone", shop, with_(up, () => ({ state: "paused" })), []],
	["a service that is no longer there: its containers go first", stack([db]), up, ["- shop-web-1"]],
	["one made by `docker compose run`: left alone", stack([db]), with_(up, (it) => (it.service === "web" ? { oneOff: true } : {})), []],
	[
		"a network that is no longer there: goes last",
		stack([db, web]),
		{ ...up, networks: [...up.networks, { id: "n9", name: "shop_old", project: "shop", hash: "x" }] },
		["- network shop_old"],
	],
	[
		"two networks of one name: one goes",
		shop,
		{ ...up, networks: [...up.networks, { ...network0, id: "zz" }] },
		["- network shop_default"],
	],
	[
		"a changed network: its containers go, then it, and all is made anew",
		stack([web, db], { networks: [network("default", { internal: true })] }),
		up,
		[
			"- shop-web-1",
			"- shop-db-1",
			"- network shop_default",
			"+ network shop_default",
			"+ shop-db-1",
			"start shop-db-1",
			"wait db service_healthy",
			"+ shop-web-1",
			"start shop-web-1",
		],
	],
	[
		"a network of somebody else's by that name: refused",
		shop,
		{ ...nothing, networks: [{ id: "n", name: "shop_default", project: null, hash: null }] },
		['conflict: The network "shop_default" is there already and of no project: declare it external, or give another name'],
	],
	[
		"an external network that is missing: refused",
		stack([db], { networks: [network("default", { external: true, name: "lan" })] }),
		nothing,
		['not_found: There is no network "lan", and it is external: make it on the host first'],
	],
	[
		"a volume is made once",
		stack([db], { volumes: [volume("data")] }),
		nothing,
		["+ network shop_default", "+ volume shop_data", "+ shop-db-1", "start shop-db-1"],
	],
	[
		"a circle: refused",
		stack([service("a", { dependsOn: [needs("b")] }), service("b", { dependsOn: [needs("a")] })]),
		nothing,
		["bad_request: services.a.depends_on goes in a circle: a → b → a; take one of them out"],
	],
];

describe("H12: what is to be done on a host is decided from the stack and what is there", () => {
	test.each(rows)("%s", (_, model, seen, steps) => expect(said(model, seen)).toEqual([...steps]));

	test("a volume that is there with another definition stays, and is told of", () => {
		const model = stack([db], { volumes: [volume("data", { driver: "nfs" })] });
		const plan = planStack(model, { ...nothing, volumes: [{ id: "v", name: "shop_data", project: "shop", hash: "other" }] });
		expect(plan).toMatchObject({
			notes: ["volume shop_data: is there and stays as it is; to have it made as the file says, remove it first"],
		});
	});

	test("what ran once and well, and others waited for, is not run again; one that failed is", () => {
		const model = stack([service("setup"), service("web", { dependsOn: [needs("setup", "service_completed_successfully")] })]);
		const ended = (exitCode: number) => with_(done(model), (it) => (it.service === "setup" ? { state: "exited", exitCode } : {}));
		expect([said(model, ended(0)), said(model, ended(1))]).toEqual([[], ["start shop-setup-1"]]);
	});

	test("scaling keeps the containers that are there, changed or not, and touches no other service", () => {
		const model = changed("web", { replicas: 2, environment: { A: "1" } });
		expect(said({ ...model, services: [...model.services, service("new")] }, up, "web")).toEqual([
			"wait db service_healthy",
			"+ shop-web-2",
			"start shop-web-2",
		]);
	});

	test("an interim container of a run that was killed is used: old one away, name taken, started", () => {
		const model = changed("db", { environment: { A: "1" } });
		const interim: SeenContainer = {
			...container0,
			id: "new",
			name: "x_shop-db-1",
			service: "db",
			number: 1,
			hash: serviceHash(model, { ...db, environment: { A: "1" } }),
			state: "created",
		};
		expect(said(model, { ...up, containers: [...up.containers, interim] })).toEqual(["- shop-db-1", "new -> shop-db-1", "start shop-db-1"]);
	});
});

describe("H12: a run that ends after any step is finished by the next one", () => {
	const name = fc.constantFrom("a", "b", "c", "d");
	const some = fc.uniqueArray(
		fc.record({ name, replicas: fc.integer({ min: 0, max: 3 }), value: fc.constantFrom("1", "2"), on: fc.subarray(["a", "b", "c"]) }),
		{ minLength: 1, selector: (it) => it.name },
	);
	const model = some.map((all) =>
		stack(
			all.map(({ name: own, replicas, value, on }) =>
				// On those before it only: no circles.
				service(own, {
					replicas,
					environment: { value },
					dependsOn: on.filter((it) => it < own && all.some((other) => other.name === it)).map((it) => needs(it)),
				}),
			),
		),
	);

	test("from any state, after any number of steps, the plan made then leads to the same end, and nothing is made twice", () => {
		fc.assert(
			fc.property(model, model, fc.nat(20), fc.nat(20), (before, wanted, first, second) => {
				const start = after(before, nothing);
				const whole = after(wanted, start);
				const cut = after(wanted, after(wanted, start, first), second);
				const end = after(wanted, cut);
				expect(namesOf(end)).toEqual(namesOf(whole));
				expect(said(wanted, end)).toEqual([]);
				expect(end.made).toBe(whole.made);
			}),
			{ numRuns: 500 },
		);
	});
});

const namesOf = (seen: Seen) => seen.containers.map(({ name, hash, state }) => `${name} ${hash} ${state}`).sort();
