import { describe, expect, test } from "bun:test";
import { execFileSync, spawnSync } from "node:child_process";
import fc from "fast-check";
import { installSnippet, keySnippet, type SnippetFacts, shellQuoted } from "../../../src/hosts/snippet.ts";
import { plainText } from "../../../src/lib/plain-text.ts";

/** What a shell, YAML or compose could take for its own, more often than chance would have it. */
const special = fc.string({ unit: fc.constantFrom(...("'\"$`\\ {}()[]<>|&;*?~#!%=:,-@^\u00e9\u{1F916}".match(/./gu) ?? [])) });
const plain = fc.oneof(special, fc.string({ unit: "binary" })).filter((text) => plainText.test(text) && text.isWellFormed());
const facts: fc.Arbitrary<SnippetFacts> = fc.record({
	url: plain,
	serverAddress: fc.option(plain),
	token: plain,
	sharedSecret: plain,
	nodeName: plain,
	mesh: fc.boolean(),
});

/** The words that a program gets in a real shell. */
function wordsOf(script: string): string[] {
	const told = execFileSync("sh", ["-c", script], { encoding: "utf8", env: { PATH: "/usr/bin:/bin", HOME: "/nowhere" } });
	return told.split("\0").slice(0, -1);
}

/** The variables that a snippet is to set. */
function expected({ url, serverAddress, token, sharedSecret, nodeName, mesh }: SnippetFacts): Record<string, string> {
	return {
		MUSTER_URL: url,
		...(serverAddress === null ? {} : { MUSTER_SERVER_ADDR: serverAddress }),
		MUSTER_ENROLL_TOKEN: token,
		MUSTER_SHARED_SECRET: sharedSecret ?? "",
		MUSTER_NODE_NAME: nodeName,
		...(mesh ? { MUSTER_MESH_MODE: "userspace" } : {}),
	};
}

const variables = (words: readonly string[]) =>
	Object.fromEntries(words.map((word) => [word.slice(0, word.indexOf("=")), word.slice(word.indexOf("=") + 1)]));

describe("shellQuoted", () => {
	test("any text that holds no NUL, line feeds included, is one word of a real shell, unchanged", () => {
		const texts = fc.array(
			fc.oneof(
				special,
				fc.string({ unit: "binary" }).map((text) => text.toWellFormed().replaceAll("\0", "")),
			),
		);
		fc.assert(
			fc.property(texts, (words) => {
				expect(wordsOf(`printf '%s\\0' begin ${words.map(shellQuoted).join(" ")}`)).toEqual(["begin", ...words]);
			}),
		);
	});
});

describe("installSnippet", () => {
	test("DOCKER: docker gets each variable as one word, whatever the values hold, and then the image", () => {
		fc.assert(
			fc.property(facts, (of) => {
				const words = wordsOf(`docker() { printf '%s\\0' "$@"; }\n${installSnippet("DOCKER", of)}`);
				expect(words.slice(0, 2)).toEqual(["run", "--detach"]);
				expect(words.at(-1)).toBe("muster-worker:latest");
				expect(variables(words.filter((_, index) => words[index - 1] === "--env"))).toEqual(expected(of));
			}),
		);
	});

	test("SHELL: the install script runs with each variable, whatever the values hold, and no secret stands on a command line", () => {
		fc.assert(
			fc.property(facts, (of) => {
				const stubs = `curl() { printf '%s\\n' "env -0"; }\nsudo() { printf 'ARGS=%s\\0' "$*"; "$@"; }\n`;
				const snippet = installSnippet("SHELL", of);
				const { ARGS, ...all } = variables(wordsOf(stubs + snippet));
				expect(ARGS).toBe("sh");
				expect(Object.fromEntries(Object.entries(all).filter(([name]) => name.startsWith("MUSTER_")))).toEqual(expected(of));
				expect(snippet).toContain(`curl -fsSL ${shellQuoted(`${of.url}/install.sh`)} ||`);
			}),
		);
	});

	test("SHELL: a script that cannot be downloaded ends in an error, not in a shell that did nothing", () => {
		const of = { url: "http://muster", serverAddress: null, token: "t", sharedSecret: "s", nodeName: "robot", mesh: false };
		const run = spawnSync("sh", ["-c", `curl() { return 22; }\nsudo() { "$@"; }\n${installSnippet("SHELL", of)}`], { encoding: "utf8" });
		expect([run.status, run.stderr]).toEqual([1, "The install script could not be downloaded\n"]);
	});

	test("COMPOSE: the file is YAML whose variables, once compose has filled in, are the values, whatever they hold", () => {
		fc.assert(
			fc.property(facts, (of) => {
				const file = Bun.YAML.parse(installSnippet("COMPOSE", of)) as { services: Record<string, { environment: Record<string, string> }> };
				const written = Object.entries(file.services["muster-worker"]?.environment ?? {});
				for (const [, value] of written) expect(value.replaceAll("$$", "")).not.toContain("$");
				expect(Object.fromEntries(written.map(([name, value]) => [name, value.replaceAll("$$", () => "$")]))).toEqual(expected(of));
			}),
		);
	});

	test("B1: the line for an enrollment key carries the key and the worker's name, and nothing that needs a shared secret", () => {
		fc.assert(
			fc.property(plain, plain, plain, (url, key, name) => {
				const all = { MUSTER_URL: url, MUSTER_ENROLL_TOKEN: key, MUSTER_WORKER_NAME: name };
				const words = wordsOf(`docker() { printf '%s\\0' "$@"; }\n${keySnippet("DOCKER", { url, key, name })}`);
				expect(variables(words.filter((_, index) => words[index - 1] === "--env"))).toEqual(all);
			}),
		);
	});

	test("without a shared secret it says in a comment, before anything else, what to set on the server", () => {
		const of = { url: "http://muster", serverAddress: null, token: "t", sharedSecret: null, nodeName: "robot", mesh: false };
		for (const format of ["DOCKER", "SHELL", "COMPOSE"] as const) {
			const [first, second] = installSnippet(format, of).split("\n");
			expect([first?.slice(0, 2), first?.includes("MUSTER_SHARED_SECRET"), second?.startsWith("#")]).toEqual(["# ", true, false]);
			expect(installSnippet(format, { ...of, sharedSecret: "s" })).not.toContain("#");
		}
	});
});
