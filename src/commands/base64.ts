import * as v from "valibot";

/** Reads base64 of at most `bytesMax` bytes. */
export function base64Bytes(bytesMax: number) {
	return v.pipe(
		v.string(),
		v.maxLength(Math.ceil(bytesMax / 3) * 4, `must have at most ${bytesMax} bytes, in base64`),
		v.regex(/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/, "must be base64"),
		v.transform((text): Uint8Array => Buffer.from(text, "base64")),
	);
}
