/** Ends an exhaustive switch: a new case that nobody handled is a type error here, and a loud fault at run time. */
export function absurd(value: never): never {
	throw new Error(`Unhandled case: ${JSON.stringify(value)}`);
}
