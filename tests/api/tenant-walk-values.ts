/** What the walk fills in: for every argument the owner's values, each with a twin of the same form that names nothing; and what the asker has of its own. */
import { alertKinds } from "../../src/alerts/alert.ts";
import { decodeCursor, encodeCursor } from "../../src/lib/cursor.ts";
import { claimedKind } from "../../src/protocol/token.ts";
import { hex } from "../support/pipeline.ts";
import { unknownToken, withOtherSecret } from "./refusals-ways.ts";
import type { Bench } from "./support.ts";
import { type Asker, must, type Owner, type Shared } from "./tenant-walk-owner.ts";
import type { Leaf, Operation } from "./tenant-walk-schema.ts";

/** What is for workers, and `commandOutput`, which has one reader: tests/api/commands-tenants.test.ts asks it. */
export const notWalked: Readonly<Record<Operation, readonly string[]>> = {
	query: [],
	mutation: ["enroll", "heartbeat", "reportCommand", "sendCommandOutput", "reportEngine", "reportHostEvents", "reportContainerStats"],
	subscription: ["commands", "commandOutput"],
};

/** One value of the owner's; no twin: it names nothing, such as a number. */
export interface Value {
	readonly it: unknown;
	readonly twin?: unknown;
	/** What the request with the twins has there, of a value that is not walked. */
	readonly again?: unknown;
	/** It names something that the asker has as well. */
	readonly shared?: boolean;
}

/** All that is the owner's. */
export interface Belongings {
	readonly owner: Owner;
	readonly shared: Shared;
	/** Every id in the owner's rows, whatever it is of. */
	readonly ids: readonly string[];
	/** A place in each of the owner's lists. */
	readonly cursors: readonly string[];
	/** What the owner's rows hold under these columns. */
	readonly names: readonly string[];
	readonly codes: readonly string[];
	readonly machineUids: readonly string[];
	readonly hostnames: readonly string[];
}

const idForm = /\b(?:ten|site|flt|key|ekey|htok|asec|wrk|host|cred|att|alrt|aud|whk|dlv|mkey|cmd|stk|fus)_[0-9a-hjkmnp-tv-z]{26}\b/g;

/** The ids in a text. */
export function idsIn(text: string): string[] {
	return [...new Set(text.match(idForm) ?? [])];
}

/** The tables whose rows belong to a tenant, with how many this one has and a digest of all they hold. */
export async function rowsOf({ database: { db } }: Bench, tenantId: string) {
	const tables = await db.sql`
		select c.table_name as name, bool_or(c.column_name = 'tenant_id') as owned from information_schema.columns c
		join information_schema.tables t using (table_schema, table_name)
		where c.table_schema = 'public' and t.table_type = 'BASE TABLE' group by 1 order by 1`;
	const found: Record<string, { count: number; text: string }> = {};
	for (const { name, owned } of tables) {
		const column = owned === true ? "tenant_id" : name === "tenants" ? "id" : undefined;
		if (column === undefined) {
			found[`${name} has no tenant`] = { count: 0, text: "" };
			continue;
		}
		const [row] = await db.sql.unsafe(
			`select count(*)::int as count, coalesce(string_agg(to_jsonb(it)::text, E'\\n' order by to_jsonb(it)::text), '') as text from ${name} it where ${column} = $1`,
			[tenantId],
		);
		found[String(name)] = { count: Number(row?.["count"]), text: String(row?.["text"]) };
	}
	return found;
}

/** Looks up all that is the owner's: ids in its rows, names as they stand there, and cursors of its lists. */
export async function belongingsOf(bench: Bench, owner: Owner, shared: Shared, lists: readonly string[]): Promise<Belongings> {
	const text = Object.values(await rowsOf(bench, owner.id))
		.map((rows) => rows.text)
		.join("\n");
	const column = async (table: string, name: string) =>
		(
			await bench.database.db.sql.unsafe(`select distinct ${name} as it from ${table} where tenant_id = $1 and ${name} is not null`, [
				owner.id,
			])
		).map(({ it }) => String(it));
	const cursors = [];
	for (const list of lists) {
		const data = await must(bench.server, owner, `{ ${list}(first: 3) { pageInfo { startCursor endCursor } } }`);
		cursors.push(...new Set<string>([data[list].pageInfo.startCursor, data[list].pageInfo.endCursor]));
	}
	const tables = ["sites", "fleets", "keys", "workers", "hosts", "credentials", "stacks"];
	const names = (await Promise.all(tables.map((table) => column(table, "name")))).flat();
	return {
		owner,
		shared,
		ids: [...idsIn(text), ...(await column("workers", "id")).filter((id) => idsIn(id).length === 0)],
		cursors,
		names: [...new Set(names)].filter((name) => name.includes(owner.tag) || name === shared.hostName),
		codes: await column("sites", "code"),
		machineUids: await column("workers", "coalesce(machine_uid, contested_uid)"),
		hostnames: await column("workers", "hostname"),
	};
}

/** The same text with another end. */
function twinOf(text: string): string {
	return `${text.slice(0, -4)}${text.endsWith("zzzz") ? "yyyy" : "zzzz"}`;
}

/** Text that no request had before, and as long as every other such text. */
function fresh(): string {
	return `own-${hex(6)}`;
}

interface Filler {
	readonly values: (its: Belongings) => readonly Value[];
	/** What a request has there that is about something else: the asker's own. None where the owner's value stands in. */
	readonly own?: (asker: Asker) => unknown;
}

const texts = (list: (its: Belongings) => readonly string[], twin = twinOf) => ({
	values: (its: Belongings) => list(its).map((it) => ({ it, twin: twin(it) })),
});
/** Values that name nothing. */
const plain = (...values: readonly unknown[]): Filler => ({ values: () => values.map((it) => ({ it })), own: () => values[0] });
/** Keys as they were shown, and such as differ in their secret alone. */
const keyTexts = ({ owner }: Belongings) => [
	...owner.secrets,
	...owner.secrets.filter((text) => text.startsWith("mst_")).map(withOtherSecret),
];
const unknownKey = (text: string) => {
	const kind = claimedKind(text);
	return kind === undefined ? twinOf(text) : unknownToken(kind);
};
const cursor = texts(
	({ cursors }) => cursors,
	(text) => encodeCursor(twinOf(decodeCursor(text) ?? "")),
);
const address = texts(
	({ owner }) => [owner.source],
	(text) => `${text.slice(0, -1)}2`,
);

/** By type and name. What is missing here cannot be filled, and the walk fails. Enums and ids need no entry. */
const fillers: Readonly<Record<string, Filler>> = {
	"String siteCode": { ...texts(({ codes }) => codes), own: ({ siteCode }) => siteCode },
	"String code": { ...texts(({ codes }) => codes), own: fresh },
	"String name": { ...texts(({ names, owner }) => [...names, owner.tag]), own: fresh },
	"String id": texts(({ ids }) => ids.filter((id) => /^(wrk|mine|zq)/.test(id))),
	"String key": { ...texts(keyTexts, unknownKey), own: ({ key }) => key },
	"String enrollmentApiKey": texts(({ owner }) => [owner.autoSecret, ...owner.apiKeys], unknownKey),
	"String enrollmentSecret": texts(({ owner }) => [owner.autoSecret, owner.enrollmentKey], unknownKey),
	"String machineUid": texts(({ machineUids }) => machineUids),
	"String hostname": texts(({ hostnames }) => hostnames),
	"String sourceAddress": address,
	"String after": cursor,
	"String before": cursor,
	"String url": { ...texts(({ owner }) => [owner.webhookUrl]), own: () => `http://127.0.0.1:9/${fresh()}` },
	"String description": texts(({ owner }) => [owner.tag]),
	"String workerName": { ...texts(({ names }) => names), own: fresh },
	"String workerNamePattern": texts(({ owner }) => [`^${owner.tag}`, owner.tag]),
	"String kinds": plain(alertKinds),
	"String allowedCidrs": plain(["198.51.100.0/24"]),
	"LabelInput label": { values: ({ owner: { label } }) => [{ it: label, twin: { key: label.key, value: twinOf(label.value) } }] },
	"LabelInput labels": { values: ({ owner: { label } }) => [{ it: [label], twin: [{ key: label.key, value: twinOf(label.value) }] }] },
	"String search": texts(({ names, owner }) => [...names, owner.tag]),
	"Int skip": plain(0),
	"PortInput ports": plain([{ container: 80 }]),
	"MountInput volumes": plain([{ source: "data", target: "/data" }]),
	"LabelInput env": { values: ({ owner: { label } }) => [{ it: [label], twin: [{ key: label.key, value: twinOf(label.value) }] }] },
	"String container": { ...texts(({ owner }) => [owner.containerName]), own: fresh },
	"String image": { ...texts(({ owner }) => [owner.image]), own: fresh },
	"String command": { ...plain(["ls"]), own: () => ["ls"] },
	"String workingDir": plain("/"),
	"String user": plain("root"),
	"String network": plain("bridge"),
	"String data": plain("aGVsbG8="),
	"DateTime since": plain("2026-11-21T05:00:00Z"),
	"Int tail": plain(10),
	"Int deadlineSeconds": plain(60),
	"Int timeoutSeconds": plain(5),
	"Boolean follow": plain(false),
	"Boolean timestamps": plain(true),
	"Boolean tty": plain(false),
	"Boolean stdin": plain(true),
	"Boolean start": plain(true),
	"Boolean force": plain(true),
	"Boolean volumes": plain(true),
	"Boolean end": plain(false),
	"String compose": {
		...texts(({ owner }) => [`services: { web: { image: app } } # ${owner.tag}`]),
		own: () => "services: { web: { image: app } }",
	},
	"String service": { ...texts(({ owner }) => [owner.stackService]), own: fresh },
	"LabelInput environment": {
		values: ({ owner: { tag } }) => [{ it: [{ key: "A", value: tag }], twin: [{ key: "A", value: twinOf(tag) }] }],
	},
	"Int replicas": plain(2),
	"Boolean pull": plain(true),
	"Int first": plain(3),
	"Int last": plain(3),
	"Int maxUses": plain(7),
	"Int graceSeconds": plain(60),
	"Float expiresInHours": plain(1),
	"Boolean open": plain(true, false),
	"Boolean enabled": plain(true),
	"Boolean newApiKey": plain(true),
};

function fillerOf(leaf: Leaf): Filler {
	// A socket takes so many operations.
	if (leaf.name === "commandChanged.hostId") return texts(({ owner }) => [owner.hostId]);
	if (leaf.type === "ID") return texts(({ ids }) => ids);
	if (leaf.choices.length > 0) return plain(...leaf.choices);
	const filler = fillers[`${leaf.type} ${leaf.path.at(-1)}`];
	if (filler === undefined) throw new Error(`The walk cannot fill ${leaf.name} (${leaf.type}): give it a filler`);
	return filler;
}

/** The owner's values for a leaf; of a list that names things, all of them as one value, with the asker's own. Throws when it cannot be filled. */
export function valuesFor(leaf: Leaf, its: Belongings): readonly Value[] {
	const names = Object.values(its.shared);
	const values = fillerOf(leaf).values(its);
	if (leaf.list && leaf.type === "ID") return [{ it: values.map(({ it }) => it) }];
	return values.map((value) => ({ ...value, shared: names.includes(String(value.it)) }));
}

/** What stands at a required leaf while another one is walked: the asker's own, or a host of the owner's where an id is needed. */
export function besides(leaf: Leaf, its: Belongings, asker: Asker): Value {
	if (leaf.type === "ID") return { it: its.owner.waitingHostId, twin: twinOf(its.owner.waitingHostId) };
	const { own } = fillerOf(leaf);
	if (own === undefined) throw new Error(`The walk has nothing of the asker's own for ${leaf.name}`);
	return { it: own(asker), again: own(asker) };
}
