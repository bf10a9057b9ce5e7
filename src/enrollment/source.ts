import type { KeyRecord } from "../keys/key.ts";
import { insideAny } from "../lib/address.ts";

/** Whether a key may be used from an address (B1): from anywhere when it names no range. */
export function sourceAllowed({ allowedCidrs }: Pick<KeyRecord, "allowedCidrs">, source: string): boolean {
	return allowedCidrs.length === 0 || insideAny(source, allowedCidrs);
}
