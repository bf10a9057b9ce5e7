/** What one variable of the environment may hold: valibot schemas with messages that name the remedy. */
import * as v from "valibot";
import { parseCidr, parseListenAddress } from "./lib/address.ts";
import { Secret } from "./lib/secret.ts";

/** How a variable is read. */
export interface Field<T> {
	readonly schema: v.GenericSchema<string, T>;
	/** A secret's value never appears in a problem. */
	readonly secret: boolean;
}

function field<T>(schema: v.GenericSchema<string, T>, secret = false): Field<T> {
	return { schema, secret };
}

/** Any text. */
export function textField(what: string): Field<string> {
	return field(v.pipe(v.string(), v.trim(), v.nonEmpty(`give ${what}`)));
}

/** A shared text of at least `length` characters. */
export function secretField(length: number): Field<Secret> {
	const schema = v.pipe(
		v.string(),
		v.minLength(length, ({ input }) => `it has ${input.length} characters, give ${length} or more, for example from: openssl rand -hex 32`),
		v.transform((text) => new Secret(text)),
	);
	return field(schema, true);
}

/** Exactly `bytes` bytes in base64. */
export function base64KeyField(bytes: number): Field<Secret> {
	return field(base64Key(bytes), true);
}

/** Any number of keys of `bytes` bytes in base64, with commas between. */
export function base64KeysField(bytes: number): Field<readonly Secret[]> {
	const schema = v.pipe(
		v.string(),
		v.transform((text) => text.split(",").filter((part) => part.trim() !== "")),
		v.array(base64Key(bytes)),
	);
	return field(schema, true);
}

function base64Key(bytes: number) {
	const isKey = (text: string) => /^[A-Za-z0-9+/]+={0,2}$/.test(text) && Buffer.from(text, "base64").length === bytes;
	return v.pipe(
		v.string(),
		v.trim(),
		v.check(isKey, `give ${bytes} bytes in base64, for example from: openssl rand -base64 ${bytes}`),
		v.transform((text) => new Secret(text)),
	);
}

/** A PostgreSQL URL; secret, since it may hold a password. */
export function postgresUrlField(): Field<Secret> {
	const schema = v.pipe(
		v.string(),
		v.trim(),
		v.regex(/^postgres(ql)?:\/\/\S+$/, "give a PostgreSQL URL: postgres://user:password@host:5432/database"),
		v.transform((text) => new Secret(text)),
	);
	return field(schema, true);
}

/** `host:port`. */
export function addressField(): Field<{ readonly hostname: string; readonly port: number }> {
	return field(parsed(parseListenAddress, "give host:port, for example 127.0.0.1:7480 or [::]:7480"));
}

/** An http or https URL; a slash at its end is dropped. */
export function urlField(): Field<string> {
	return field(parsed(parseHttpUrl, "give a URL, for example https://muster.example.net"));
}

/** An OIDC issuer: a URL kept letter for letter, since tokens must name it exactly so. */
export function issuerField(): Field<string> {
	const parse = (text: string) => (parseHttpUrl(text) === undefined ? undefined : text);
	return field(parsed(parse, "give the issuer's URL exactly as its tokens name it, for example https://login.example.net/"));
}

/** Where workers go: a URL or `host:port`. */
export function serverAddressField(): Field<string> {
	const parse = (text: string) => parseHttpUrl(text) ?? (parseListenAddress(text) === undefined ? undefined : text);
	return field(parsed(parse, "give host:port or a URL, for example 100.64.0.1:7480"));
}

/** `on` or `off`. */
export function switchField(): Field<boolean> {
	const schema = v.pipe(
		v.string(),
		v.trim(),
		v.picklist(["on", "off"], "give on or off"),
		v.transform((text) => text === "on"),
	);
	return field(schema);
}

/** One of a closed list; `planned` are documented values that this version does not have. */
export function oneOf<const T extends readonly [string, ...string[]]>(values: T, planned: readonly string[] = []): Field<T[number]> {
	const remedy = `give ${values.join(" or ")}`;
	const message = (issue: { readonly input: unknown }) =>
		planned.some((name) => name === issue.input) ? `that is not available in this version, ${remedy}` : remedy;
	return field(v.pipe(v.string(), v.trim(), v.picklist(values, message)));
}

/** A whole number of seconds. */
export function secondsField(min: number, max: number): Field<number> {
	return wholeNumberField(min, max, "seconds");
}

/** A whole number, written in digits. */
export function wholeNumberField(min: number, max: number, unit: string): Field<number> {
	const parse = (text: string) => {
		const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
		return value >= min && value <= max ? value : undefined;
	};
	return field(parsed(parse, `give a whole number of ${unit} from ${min} to ${max}`));
}

/** `10/15m`: failures before a lockout, and its length in s, m or h. */
export function lockoutField(): Field<{ readonly failures: number; readonly seconds: number }> {
	return field(parsed(parseLockout, "give failures/length, for example 10/15m (s, m or h; at most 24h)"));
}

/** A Headscale user. */
export function meshUserField(): Field<string> {
	const rule = /^[A-Za-z][A-Za-z0-9._-]*(@[A-Za-z0-9._-]*)?$/;
	return field(
		v.pipe(
			v.string(),
			v.trim(),
			v.minLength(2, "give its name, 2 letters or more"),
			v.regex(rule, "give the user's name, for example muster"),
		),
	);
}

/** Tags of mesh nodes, separated by commas. */
export function meshTagsField(): Field<readonly string[]> {
	const parse = (text: string) => {
		const tags = text.split(",").map((tag) => tag.trim());
		return tags.every((tag) => /^tag:[a-z][a-z0-9-]*$/.test(tag)) ? tags : undefined;
	};
	return field(parsed(parse, "give tags with commas between, for example tag:muster,tag:robot"));
}

/** Ranges of addresses, separated by commas. */
export function cidrsField(): Field<readonly string[]> {
	const parse = (text: string) => {
		const ranges = text
			.split(",")
			.map((range) => range.trim())
			.filter((range) => range !== "");
		return ranges.every((range) => parseCidr(range) !== undefined) ? ranges : undefined;
	};
	return field(parsed(parse, "give addresses or CIDRs with commas between, for example 10.0.0.0/8,192.0.2.7"));
}

function parsed<T>(parse: (text: string) => T | undefined, remedy: string): v.GenericSchema<string, T> {
	return v.pipe(
		v.string(),
		v.trim(),
		v.rawTransform(({ dataset, addIssue, NEVER }) => {
			const value = parse(dataset.value);
			if (value !== undefined) return value;
			addIssue({ message: remedy });
			return NEVER;
		}),
	);
}

function parseHttpUrl(text: string): string | undefined {
	if (!/^https?:\/\//i.test(text) || !URL.canParse(text)) return undefined;
	const url = new URL(text);
	if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") return undefined;
	return url.href.replace(/\/$/, "");
}

const unitSeconds = { s: 1, m: 60, h: 3_600 } as const;

function parseLockout(text: string): { failures: number; seconds: number } | undefined {
	const match = /^(\d{1,6})\/(\d{1,6})([smh])$/.exec(text);
	const unit = match?.[3];
	if (unit !== "s" && unit !== "m" && unit !== "h") return undefined;
	const failures = Number(match?.[1]);
	const seconds = Number(match?.[2]) * unitSeconds[unit];
	return failures >= 1 && seconds >= 1 && seconds <= 86_400 ? { failures, seconds } : undefined;
}
