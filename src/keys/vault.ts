import { createCipheriv, createDecipheriv, createHash } from "node:crypto";
import type { Random } from "../lib/random.ts";
import type { Secret } from "../lib/secret.ts";

/** Seals what must be handed out or used again and may not stand in the database in clear (A2): AES-256-GCM under the server's master key. */
export interface Vault {
	/** The id of the master key that new texts are sealed under. */
	readonly keyId: string;
	/** @param place what the text is and whose, for example `auto-secret ten_1`: a sealed text moved to another row does not open */
	seal(text: string, place: string): string;
	/** Opens what was sealed for this place. Throws VaultError naming the master key it needs, or when it was tampered with. */
	open(sealed: string, place: string): string;
}

/** A sealed text cannot be opened. */
export class VaultError extends Error {
	constructor(message: string) {
		super(message);
		this.name = "VaultError";
	}
}

const ivBytes = 12;
const tagBytes = 16;

/**
 * Opens the vault. Sealed texts carry the id of their master key, so that former keys open what they sealed until it was sealed anew.
 * @param current 32 bytes in base64; `former` the same, from before rotations
 */
export function openVault(current: Secret, former: readonly Secret[], random: Random): Vault {
	const keys = new Map([...former, current].map((secret) => [masterKeyId(secret), Buffer.from(secret.reveal(), "base64")]));
	const keyId = masterKeyId(current);
	return {
		keyId,
		seal(text, place) {
			const iv = random.bytes(ivBytes);
			const cipher = createCipheriv("aes-256-gcm", Buffer.from(current.reveal(), "base64"), iv, { authTagLength: tagBytes });
			cipher.setAAD(Buffer.from(place, "utf8"));
			const body = Buffer.concat([cipher.update(text, "utf8"), cipher.final()]);
			return `v1.${keyId}.${Buffer.concat([iv, body, cipher.getAuthTag()]).toString("base64url")}`;
		},
		open(sealed, place) {
			const [, id, data = ""] = sealed.split(".");
			const key = keys.get(id ?? "");
			if (key === undefined) {
				throw new VaultError(
					`Cannot open the ${place}: it is sealed under master key ${id}, this server has ${[...keys.keys()].join(", ")}; give every server the same MUSTER_MASTER_KEY, and one it replaced in MUSTER_MASTER_KEY_FORMER`,
				);
			}
			const bytes = Buffer.from(data, "base64url");
			try {
				const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(0, ivBytes), { authTagLength: tagBytes });
				decipher.setAAD(Buffer.from(place, "utf8"));
				decipher.setAuthTag(bytes.subarray(-tagBytes));
				return decipher.update(bytes.subarray(ivBytes, -tagBytes), undefined, "utf8") + decipher.final("utf8");
			} catch {
				throw new VaultError(`Cannot open a sealed secret of ${place}: it was changed, or moved from another row`);
			}
		},
	};
}

/** The id of the master key that a text was sealed under. */
export function sealedUnder(sealed: string): string {
	return sealed.split(".")[1] ?? "";
}

/** Names a master key without giving it away: eight hex digits of its SHA-256. */
export function masterKeyId(key: Secret): string {
	return createHash("sha256").update("muster-master-key\n").update(Buffer.from(key.reveal(), "base64")).digest("hex").slice(0, 8);
}
