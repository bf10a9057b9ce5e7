import * as v from "valibot";
import { projectName, replicasMax } from "../engine/stack-model.ts";
import { composeCharactersMax } from "./compose-yaml.ts";

const id = v.pipe(v.string(), v.nonEmpty("must not be empty"));
const name = v.message(
	projectName,
	(issue) => `${JSON.stringify(issue.input)} must be lower-case letters, digits, - and _, at most 63, and begin with a letter or digit`,
);
const switchedOff = v.optional(v.nullable(v.boolean()), null);
const on = v.pipe(
	switchedOff,
	v.transform((value) => value ?? false),
);
const plain = (text: string) => !text.includes("\0") && text.isWellFormed();

const variable = v.object({
	key: v.pipe(
		v.string(),
		v.regex(
			/^[A-Za-z_][A-Za-z0-9_]{0,127}$/,
			(issue) => `${JSON.stringify(issue.input)} must be letters, digits and _, and begin with no digit`,
		),
	),
	// What it is stays unsaid: it may be a secret.
	value: v.pipe(
		v.string(),
		v.maxLength(32_768, "must have at most 32768 characters"),
		v.check(plain, "must not hold NUL or half a character"),
	),
});

/** A compose file for a host, with the values of its variables. */
export const deployInput = v.object({
	hostId: id,
	name,
	compose: v.pipe(v.string(), v.maxLength(composeCharactersMax, `must have at most ${composeCharactersMax} characters`)),
	environment: v.pipe(
		v.optional(v.nullable(v.array(variable)), null),
		v.transform((list) => list ?? []),
		v.maxLength(200, "must have at most 200 variables"),
		v.check((list) => new Set(list.map(({ key }) => key)).size === list.length, "names a variable twice: give each once"),
		v.transform((list) => Object.fromEntries(list.map(({ key, value }) => [key, value]))),
	),
});

/** A service, and how many containers it shall have. */
export const scaleInput = v.object({
	hostId: id,
	name,
	service: id,
	replicas: v.pipe(v.number(), v.integer(), v.minValue(0, "must be 0 or more"), v.maxValue(replicasMax, `must be at most ${replicasMax}`)),
});

export const redeployInput = v.object({ hostId: id, name, pull: on });

export const removeInput = v.object({ hostId: id, name, volumes: on });
