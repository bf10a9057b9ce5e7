import type { Endpoint } from "./address.ts";
import { callCheck } from "./client.ts";
import type { Config } from "./config.ts";
import type { DoctorDeps, Finding } from "./doctor.ts";
import type { Membership } from "./doctor-local.ts";
import { Fatal, errnoOf, reasonOf } from "./fatal.ts";
import type { MeshLook } from "./mesh-look.ts";
import { askLive, connectTcp, type LiveAnswer, liveUrl, resolveName } from "./probes.ts";
import { reportEndpoint } from "./start.ts";

/** A server address, and what to look at when it is wrong. */
interface Target {
	readonly endpoint: Endpoint;
	readonly remedy: string;
}

/** Auto-enrollment refuses a time that is further off (DESIGN.md, HMAC transcript), and certificates begin to fail. */
const clockToleranceMs = 300_000;

/** Asks every address the worker would call whether a Muster lives there; when none answers, finds out at which step it fails. */
export async function checkAddresses(
	deps: Pick<DoctorDeps, "clock" | "fetch">,
	config: Config,
	member: Membership,
	look: Promise<MeshLook>,
	signal: AbortSignal,
): Promise<{ readonly findings: readonly Finding[]; readonly answers: readonly LiveAnswer[] }> {
	const targets = targetsOf(config, member);
	if (targets.length === 0) return { findings: [{ verdict: "skip", text: "no server address is known: give MUSTER_URL" }], answers: [] };
	const checked = await Promise.all(
		targets.map(async (target) => {
			const mesh = await look;
			const way = await mesh.reach(target.endpoint);
			if ("why" in way) return { answer: unasked, finding: notReached(target, way.why, mesh.status !== undefined) };
			// The mesh alone knows this way: there is nothing to resolve, and no connection of this host's own.
			if (way.proxy !== undefined) {
				const answer = await askLive(deps, liveUrl(way), signal, way);
				return { answer, finding: judge({ ...target, endpoint: way }, answer, undefined) };
			}
			// At once, so that a server that never answers leaves time to tell why. A proxy may reach what this host cannot: the answer alone decides.
			const [answer, trouble] = await Promise.all([
				askLive(deps, liveUrl(target.endpoint), signal),
				firstTrouble(target.endpoint, target.remedy, signal),
			]);
			return { answer, finding: judge(target, answer, trouble) };
		}),
	);
	return { findings: checked.map(({ finding }) => finding), answers: checked.map(({ answer }) => answer) };
}

/** Whether this machine's clock agrees with the server's. */
export function checkClock(answers: readonly LiveAnswer[]): readonly Finding[] {
	const ahead = answers.flatMap((answer) => (answer.kind === "answered" ? (answer.clockAheadMs ?? []) : []))[0];
	if (ahead === undefined) return [{ verdict: "skip", text: "no server said its time" }];
	const [offMs, direction] = [Math.abs(ahead), ahead > 0 ? "behind" : "ahead of"];
	if (offMs <= 1_500) return [{ verdict: "ok", text: "agrees with the server's" }];
	const text = `${span(offMs)} ${direction} the server's`;
	if (offMs <= clockToleranceMs) return [{ verdict: "ok", text }];
	return [
		{ verdict: "FAIL", text: `${text}: set this machine's clock, as with timedatectl set-ntp true, or the server's if that one is wrong` },
	];
}

/** Whether the server takes this host's credential. */
export async function checkIdentity(
	deps: Pick<DoctorDeps, "fetch">,
	config: Config,
	member: Membership,
	known: { readonly addresses: Promise<{ readonly answers: readonly LiveAnswer[] }>; readonly look: Promise<MeshLook> },
	signal: AbortSignal,
): Promise<readonly Finding[]> {
	if (member.kind === "broken") return [{ verdict: "FAIL", text: member.why }];
	if (member.kind === "none") {
		const text =
			member.since === undefined ? "not enrolled yet" : `not enrolled yet, an enrollment waits for its answer since ${member.since}`;
		return [{ verdict: "skip", text }];
	}
	const { credential } = member.identity;
	const endpoint = endpointOf(config, member);
	if (endpoint === undefined)
		return [{ verdict: "FAIL", text: `worker "${credential.workerId}" knows no server: give MUSTER_SERVER_ADDR` }];
	const way = await (await known.look).reach(endpoint);
	switch ("why" in way ? "unreachable" : await callCheck(deps.fetch, way, credential, signal)) {
		case "accepted":
			return [{ verdict: "ok", text: `the server takes the credential of worker "${credential.workerId}"` }];
		case "refused": {
			const remedy =
				member.from === "settings"
					? "give the current key as MUSTER_WORKER_API_KEY"
					: "remove .MUSTER_WORKER_ID and .MUSTER_WORKER_API_KEY from the state directory and enroll again";
			return [{ verdict: "FAIL", text: `the server refuses the credential of worker "${credential.workerId}": ${remedy}` }];
		}
		case "unreachable": {
			const { answers } = await known.addresses;
			if (!answers.some((answer) => answer.kind === "answered" && answer.muster)) {
				return [{ verdict: "skip", text: `worker "${credential.workerId}" cannot be checked: no server answers, see address` }];
			}
			const text = `${endpoint.http} neither takes nor refuses the credential of worker "${credential.workerId}": see the server's log`;
			return [{ verdict: "FAIL", text }];
		}
	}
}

/** Where the worker reports once it has a credential; before that, where it enrolls and where it is told to report. */
function targetsOf(config: Config, member: Membership): readonly Target[] {
	const endpoints = member.kind === "member" ? [endpointOf(config, member)] : [config.url, config.serverAddr];
	const unique = new Map(endpoints.flatMap((endpoint) => (endpoint === undefined ? [] : [[endpoint.http, endpoint] as const])));
	return [...unique.values()].map((endpoint) => {
		const remedy =
			endpoint === config.url
				? "check MUSTER_URL"
				: endpoint === config.serverAddr
					? "check MUSTER_SERVER_ADDR"
					: "the enroll reply gave it, set MUSTER_SERVER_ADDR";
		return { endpoint, remedy };
	});
}

function endpointOf(config: Config, { identity }: Extract<Membership, { readonly kind: "member" }>): Endpoint | undefined {
	try {
		return reportEndpoint(config, identity);
	} catch (error) {
		if (error instanceof Fatal) return undefined;
		throw error;
	}
}

const unasked: LiveAnswer = { kind: "unanswered", why: "not asked" };

/** A mesh that is down because no worker runs is no fault; one that is up and does not lead to the server is. */
function notReached({ endpoint }: Target, why: string, meshIsUp: boolean): Finding {
	return { verdict: meshIsUp ? "FAIL" : "skip", text: `${liveUrl(endpoint)} cannot be asked: ${why}` };
}

function judge({ endpoint, remedy }: Target, answer: LiveAnswer, trouble: string | undefined): Finding {
	const url = liveUrl(endpoint);
	if (answer.kind === "unanswered") {
		const mute = `${url} does not answer (${answer.why}), though its port is open: ${remedy}, http against https, and the certificate`;
		return { verdict: "FAIL", text: trouble ?? mute };
	}
	const { status, location, muster, roundTripMs } = answer;
	if (muster) return { verdict: "ok", text: `${url} answers in ${Math.max(1, Math.round(roundTripMs))} ms` };
	if (status >= 300 && status < 400) {
		return { verdict: "FAIL", text: `${url} redirects (HTTP ${status}) to ${location ?? "nowhere"}: give the final address, ${remedy}` };
	}
	return {
		verdict: "FAIL",
		text: `${url} answers HTTP ${status} and not as a Muster server does: ${remedy}, and what the proxy before it passes on`,
	};
}

/** The first step on the way to a server that fails: its name, or the connection; undefined when both are well. */
async function firstTrouble({ http }: Endpoint, remedy: string, signal: AbortSignal): Promise<string | undefined> {
	const { hostname, port, protocol } = new URL(http);
	const portNumber = port === "" ? (protocol === "https:" ? 443 : 80) : Number(port);
	try {
		await resolveName(hostname, signal);
	} catch (error) {
		return `cannot resolve "${hostname}" (${errnoOf(error) ?? reasonOf(error)}): ${remedy}, or this host's name service`;
	}
	try {
		await connectTcp(hostname, portNumber, signal);
		return undefined;
	} catch (error) {
		const why = errnoOf(error) ?? reasonOf(error);
		return `cannot connect to ${hostname} port ${portNumber} (${why}): ${remedy}, whether the server runs, and the firewalls between`;
	}
}

function span(ms: number): string {
	const seconds = Math.round(ms / 1_000);
	const parts = [
		[Math.floor(seconds / 86_400), "d"],
		[Math.floor(seconds / 3_600) % 24, "h"],
		[Math.floor(seconds / 60) % 60, "min"],
		[seconds % 60, "s"],
	] as const;
	const shown = parts.filter(([count]) => count > 0).slice(0, 2);
	return shown.map(([count, unit]) => `${count} ${unit}`).join(" ");
}
