/** The bodies of enrollment requests: each is another machine's. */
import { createHmac } from "node:crypto";
import { autoEnrollmentMac } from "../../src/protocol/auto-enroll.ts";
import { enrollDocument } from "../../src/protocol/operations.ts";

/** Who asks, and of whom. */
export interface EnrollRequest {
	readonly credential:
		| { readonly siteKey: { readonly siteCode: string; readonly key: string } }
		| { readonly enrollmentKey: string }
		| { readonly autoSecret: string };
	/** Asks in other words (a blank more), so that the general pipeline answers. */
	readonly general?: boolean;
	/** X25519 public key: replies are sealed to it. */
	readonly replyKey?: string;
	/** Asks PostGraphile instead, whose mutation is another. */
	readonly postgraphile?: { readonly document: string; readonly siteCode: string; readonly admitted: string };
}

/** Characters of the number that makes a machine's names. */
export const numberLength = 16;

/** Makes bodies of one run, whose ids never meet those of another; `number` has `numberLength` characters. */
export function bodies(request: EnrollRequest): (number: string) => string {
	const { credential, replyKey, postgraphile } = request;
	const run = Buffer.from(crypto.getRandomValues(new Uint8Array(8))).toString("hex");
	const tail = replyKey === undefined ? "" : `,"replyKey":${JSON.stringify(replyKey)}`;
	const document = postgraphile?.document ?? (request.general === true ? `${enrollDocument} ` : enrollDocument);
	const head = `{"query":${JSON.stringify(document)},"variables":{"input":{"enrollmentId":"`;
	return (number) => {
		const enrollmentId = `${run}${number}`;
		const machineUid = `uid-${run}${number}`;
		const name = `robot-${number.slice(8)}`;
		if (postgraphile !== undefined)
			return `${head}${enrollmentId}","siteCode":"${postgraphile.siteCode}","name":"${name}","machineUid":"${machineUid}","platform":"linux-x64","version":"0.1.0"}}}`;
		const proof =
			"autoSecret" in credential ? { autoEnrollment: signed(credential.autoSecret, enrollmentId, name, machineUid) } : credential;
		return `${head}${enrollmentId}","credential":${JSON.stringify(proof)},"worker":{"name":"${name}","hostname":"${name}","machineUid":"${machineUid}","platform":"linux-x64","version":"0.1.0"}${tail}}}}`;
	};
}

/** What stands in an answer that let the machine in, and in no other. */
export function admittedText({ postgraphile }: EnrollRequest): string {
	return postgraphile?.admitted ?? '"__typename":"Enrolled"';
}

/** The head of a request with a body of so many bytes. */
export function headOf(port: number, length: number): string {
	return `POST /graphql HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Type: application/json\r\nAccept: application/graphql-response+json, application/json\r\nContent-Length: ${length}\r\n\r\n`;
}

function signed(secret: string, enrollmentId: string, name: string, machineUid: string) {
	const [nonce, timestamp] = [createHmac("sha256", "nonce").update(enrollmentId).digest("hex").slice(0, 32), new Date().toISOString()];
	return {
		nonce,
		timestamp,
		mac: autoEnrollmentMac(secret, { tenant: "default", enrollmentId, name, requestedId: null, machineUid, nonce, timestamp }),
	};
}
