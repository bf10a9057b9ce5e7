import { fuseProviders, hostStates } from "../hosts/lifecycle.ts";
import { snippetFormats } from "../hosts/snippet.ts";
import { enrollmentMethods, outcomes, pendingReasons, refusals } from "../protocol/codes.ts";
import { commandErrors, commandStates } from "../protocol/commands.ts";
import { enrollmentPolicies } from "../sites/site.ts";
import { builder } from "./builder.ts";

export const EnrollmentMethodEnum = builder.enumType("EnrollmentMethod", {
	description: "The way a worker came in.",
	values: enrollmentMethods,
});
export const EnrollmentPolicyEnum = builder.enumType("EnrollmentPolicy", {
	description: "Whether a site's new workers are let in at once or wait for an operator.",
	values: enrollmentPolicies,
});
export const WorkerStateEnum = builder.enumType("WorkerState", {
	description: "PENDING: held until an operator decides.",
	values: ["ACTIVE", "PENDING", "REVOKED"] as const,
});
export const HostStateEnum = builder.enumType("HostState", {
	description: "A host's place in its life. DEGRADED: no heartbeat for a while; `lastKnownState` tells what it was.",
	values: hostStates,
});
export const EnrollOutcomeEnum = builder.enumType("EnrollOutcome", {
	description: "NEW machine, REUSED: the same machine again, MOVED: from another site, REPLAYED: the same enrollment again.",
	values: outcomes,
});
export const PendingReasonEnum = builder.enumType("PendingReason", { description: "Why a worker is held.", values: pendingReasons });
export const FuseProviderEnum = builder.enumType("FuseProvider", {
	description: "What container actions go through.",
	values: fuseProviders,
});
export const RejectionReasonEnum = builder.enumType("RejectionReason", {
	description: "Why an enrollment was refused. The same code stands in the API, the attempt, the metric and the worker's log.",
	values: refusals,
});
export const CommandStateEnum = builder.enumType("CommandState", {
	description: "QUEUED, RUNNING, then one of the others for good. EXPIRED: its deadline came first.",
	values: commandStates,
});
export const CommandErrorEnum = builder.enumType("CommandErrorCode", {
	description: "Why a command FAILED. The message says it in words.",
	values: commandErrors,
});

/** How an install snippet is to be pasted. */
export const SnippetFormatEnum = builder.enumType("SnippetFormat", {
	description: "DOCKER: docker run. SHELL: installs the worker with systemd. COMPOSE: a compose file.",
	values: snippetFormats,
});
