import { Aes256Gcm, CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from "@hpke/core";

/**
 * Sealing of an enroll reply to the worker that asked: HPKE base mode (RFC 9180), X25519, HKDF-SHA-256, AES-256-GCM.
 * The sealed text is base64 of `enc (32 bytes) || ciphertext`; the enrollment id is the associated data, so that a reply
 * cannot be moved to another enrollment. HPKE's info says what was sealed, so that the API key and the mesh key of one reply cannot be
 * swapped.
 */
const suite = new CipherSuite({ kem: new DhkemX25519HkdfSha256(), kdf: new HkdfSha256(), aead: new Aes256Gcm() });
const infos = { apiKey: bytes("muster-enroll-reply-v1"), meshKey: bytes("muster-enroll-mesh-v1") } as const;

/** What a sealed text is: only who opens it as the same can open it. */
export type SealPurpose = keyof typeof infos;

const encLength = 32;

/** A reply key pair as it is kept and sent: raw 32-byte X25519 keys, base64. */
export interface ReplyKeyPair {
	readonly publicKey: string;
	readonly privateKey: string;
}

/** Makes a fresh key pair for one enrollment. */
export async function generateReplyKey(): Promise<ReplyKeyPair> {
	const pair = await suite.kem.generateKeyPair();
	return {
		publicKey: toBase64(await suite.kem.serializePublicKey(pair.publicKey)),
		privateKey: toBase64(await suite.kem.serializePrivateKey(pair.privateKey)),
	};
}

/** Whether a text is base64 of a 32-byte key: the form `replyKey` must have. */
export function isReplyKey(text: string): boolean {
	return /^[A-Za-z0-9+/]{43}=$/.test(text);
}

/** Seals a credential to the worker's public key. Throws when the key is no valid X25519 point. */
export async function seal(replyKey: string, enrollmentId: string, text: string, purpose: SealPurpose = "apiKey"): Promise<string> {
	const recipientPublicKey = await suite.kem.deserializePublicKey(fromBase64(replyKey));
	const { enc, ct } = await suite.seal({ recipientPublicKey, info: infos[purpose] }, bytes(text), bytes(enrollmentId));
	return Buffer.concat([new Uint8Array(enc), new Uint8Array(ct)]).toString("base64");
}

/** Opens what `seal` made. Throws when the key, the enrollment id, the purpose or a single byte differs. */
export async function open(privateKey: string, enrollmentId: string, sealed: string, purpose: SealPurpose = "apiKey"): Promise<string> {
	const recipientKey = await suite.kem.deserializePrivateKey(fromBase64(privateKey));
	const raw = Buffer.from(sealed, "base64");
	const enc = copy(raw.subarray(0, encLength));
	const plain = await suite.open({ recipientKey, enc, info: infos[purpose] }, copy(raw.subarray(encLength)), bytes(enrollmentId));
	return new TextDecoder().decode(plain);
}

function bytes(text: string): ArrayBuffer {
	return copy(new TextEncoder().encode(text));
}

function copy(view: Uint8Array): ArrayBuffer {
	return new Uint8Array(view).buffer;
}

function toBase64(buffer: ArrayBuffer): string {
	return Buffer.from(buffer).toString("base64");
}

function fromBase64(text: string): ArrayBuffer {
	return copy(Buffer.from(text, "base64"));
}
