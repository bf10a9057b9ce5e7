const hidden = new WeakMap<Secret, string>();

/** A text that must not leak: prints, serialises and inspects as `[secret]`; only `reveal` gives the value. */
export class Secret {
	constructor(value: string) {
		hidden.set(this, value);
	}
	/** The value itself. Call it where the value is used, not earlier. */
	reveal(): string {
		return hidden.get(this) ?? "";
	}
	toString(): string {
		return "[secret]";
	}
	toJSON(): string {
		return "[secret]";
	}
	get [Symbol.toStringTag](): string {
		return "[secret]";
	}
	[Symbol.for("nodejs.util.inspect.custom")](): string {
		return "[secret]";
	}
}
