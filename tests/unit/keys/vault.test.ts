import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { masterKeyId, openVault, sealedUnder, VaultError } from "../../../src/keys/vault.ts";
import { systemRandom } from "../../../src/lib/random.ts";
import { Secret } from "../../../src/lib/secret.ts";

const keyOf = (byte: number) => new Secret(Buffer.alloc(32, byte).toString("base64"));
const [first, second] = [keyOf(1), keyOf(2)];
const vault = openVault(first, [], systemRandom);
const text = fc.string({ unit: "binary" }).map((any) => any.toWellFormed());

/** The error of `work`; fails when there is none. */
function problemOf(work: () => unknown): VaultError {
	try {
		work();
	} catch (error) {
		if (error instanceof VaultError) return error;
		throw error;
	}
	throw new Error("Expected a VaultError");
}

describe("the vault (A2)", () => {
	test("opens what it sealed, any text in any place", () => {
		fc.assert(
			fc.property(text, text, (secret, place) => {
				expect(vault.open(vault.seal(secret, place), place)).toBe(secret);
			}),
		);
	});

	test("seals one text differently each time, and never shows it", () => {
		const secret = "a secret that must not be seen";
		const [one, other] = [vault.seal(secret, "here"), vault.seal(secret, "here")];
		expect(one).not.toBe(other);
		expect(one).toMatch(/^v1\.[0-9a-f]{8}\.[A-Za-z0-9_-]+$/);
		expect(Buffer.from(one.split(".")[2] ?? "", "base64url").toString("latin1")).not.toContain(secret);
	});

	test("opens it in no other place: VaultError, naming the place it was looked for in", () => {
		fc.assert(
			fc.property(text, text, text, (secret, place, other) => {
				fc.pre(place !== other);
				expect(problemOf(() => vault.open(vault.seal(secret, place), other)).message).toContain(other);
			}),
		);
	});

	test("opens nothing of which a single bit was changed", () => {
		fc.assert(
			fc.property(text, fc.nat(), fc.nat(7), (secret, at, bit) => {
				const [version, id, data = ""] = vault.seal(secret, "here").split(".");
				const bytes = Buffer.from(data, "base64url");
				const place = at % bytes.length;
				bytes.writeUInt8(bytes.readUInt8(place) ^ (1 << bit), place);
				problemOf(() => vault.open(`${version}.${id}.${bytes.toString("base64url")}`, "here"));
			}),
		);
	});

	test("opens nothing that was cut short, be it to a part of the tag", () => {
		const [version, id, data = ""] = vault.seal("ten letters", "here").split(".");
		const bytes = Buffer.from(data, "base64url");
		for (let length = 0; length < bytes.length; length++) {
			problemOf(() => vault.open(`${version}.${id}.${bytes.subarray(0, length).toString("base64url")}`, "here"));
		}
	});

	test("says of a text under an unknown master key which it needs and which there are, and shows none of them", () => {
		const sealed = openVault(second, [], systemRandom).seal("text", "the secret of ten_1");
		const { message } = problemOf(() => vault.open(sealed, "the secret of ten_1"));
		const variables = ["MUSTER_MASTER_KEY", "MUSTER_MASTER_KEY_FORMER"];
		for (const part of ["the secret of ten_1", masterKeyId(second), masterKeyId(first), ...variables]) expect(message).toContain(part);
		for (const key of [first, second]) expect(message).not.toContain(key.reveal());
		for (const garbage of ["", "text", "v1", "v1.", "v1..", "v1.00000000.AAAA"]) problemOf(() => vault.open(garbage, "here"));
	});

	test("a former master key opens what it sealed; what is sealed now is under the current one", () => {
		const rotated = openVault(second, [first], systemRandom);
		const old = vault.seal("sealed before", "here");
		expect(rotated.open(old, "here")).toBe("sealed before");
		const young = rotated.seal("sealed after", "here");
		expect([sealedUnder(old), sealedUnder(young), rotated.keyId]).toEqual([masterKeyId(first), masterKeyId(second), masterKeyId(second)]);
		expect(openVault(second, [], systemRandom).open(young, "here")).toBe("sealed after");
		expect(problemOf(() => vault.open(young, "here")).message).toContain(masterKeyId(second));
	});

	test("the current master key may also stand among the former ones", () => {
		const both = openVault(first, [first, second], systemRandom);
		expect(both.keyId).toBe(masterKeyId(first));
		expect(both.open(vault.seal("text", "here"), "here")).toBe("text");
	});

	test("a master key's id is eight hex digits that are not of the key", () => {
		expect(masterKeyId(first)).toMatch(/^[0-9a-f]{8}$/);
		expect(Buffer.from(first.reveal(), "base64").toString("hex")).not.toContain(masterKeyId(first));
		expect(masterKeyId(second)).not.toBe(masterKeyId(first));
	});
});
