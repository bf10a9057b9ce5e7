import type { InputRef } from "@pothos/core";
import type { OperatorPrincipal, Role } from "../auth/principal.ts";
import type { CommandRecord } from "../commands/command.ts";
import { protocols, restartPolicies } from "../commands/container-spec.ts";
import {
	containerLogs,
	createContainer,
	execContainer,
	onContainerOf,
	pullImage,
	removeContainer,
	stopOrRestart,
} from "../commands/requests.ts";
import type { Deps } from "../deps.ts";
import { builder } from "./builder.ts";
import { CommandPayload } from "./command.ts";
import { LabelInput } from "./label.ts";

const deadlineText = "How long it may wait and run, at most a day. Default: 300 to read, 3600 to change or to follow.";
const containerText = "Its id or name.";

const ContainerLogsInput = builder.inputType("ContainerLogsInput", {
	fields: (t) => ({
		hostId: t.id({ required: true }),
		container: t.string({ required: true, description: containerText }),
		follow: t.boolean({ description: "Goes on with what comes, while somebody reads." }),
		tail: t.int({ description: "The last lines only." }),
		since: t.field({ type: "DateTime" }),
		timestamps: t.boolean(),
		deadlineSeconds: t.int({ description: deadlineText }),
	}),
});
const ExecContainerInput = builder.inputType("ExecContainerInput", {
	fields: (t) => ({
		hostId: t.id({ required: true }),
		container: t.string({ required: true, description: containerText }),
		command: t.stringList({ required: true, description: "The program and its arguments; no shell reads them. They are on record." }),
		env: t.field({ type: [LabelInput], description: "The values are masked on record." }),
		workingDir: t.string(),
		user: t.string(),
		tty: t.boolean(),
		stdin: t.boolean({ description: "Whether input will come (sendCommandInput); the exec then ends when its reader leaves." }),
		deadlineSeconds: t.int({ description: deadlineText }),
	}),
});
const PortInput = builder.inputType("PortInput", {
	fields: (t) => ({
		container: t.int({ required: true }),
		host: t.int({ description: "Null: any free one." }),
		protocol: t.field({ type: builder.enumType("PortProtocol", { values: protocols }), description: "Default TCP." }),
		address: t.string({ description: "The host's address; null: all." }),
	}),
});
const MountInput = builder.inputType("MountInput", {
	fields: (t) => ({
		source: t.string({ required: true, description: "An absolute path of the host, or a volume's name." }),
		target: t.string({ required: true }),
		readOnly: t.boolean(),
	}),
});
const CreateContainerInput = builder.inputType("CreateContainerInput", {
	fields: (t) => ({
		hostId: t.id({ required: true }),
		image: t.string({ required: true }),
		name: t.string(),
		command: t.stringList(),
		env: t.field({ type: [LabelInput], description: "The values are masked on record." }),
		labels: t.field({ type: [LabelInput] }),
		ports: t.field({ type: [PortInput] }),
		volumes: t.field({ type: [MountInput] }),
		restartPolicy: t.field({ type: builder.enumType("RestartPolicy", { values: restartPolicies }), description: "Default NO." }),
		network: t.string(),
		start: t.boolean({ description: "Default true." }),
		deadlineSeconds: t.int({ description: deadlineText }),
	}),
});
const ContainerInput = builder.inputType("ContainerInput", {
	fields: (t) => ({
		hostId: t.id({ required: true }),
		container: t.string({ required: true, description: containerText }),
		deadlineSeconds: t.int({ description: deadlineText }),
	}),
});
const StopContainerInput = builder.inputType("StopContainerInput", {
	fields: (t) => ({
		hostId: t.id({ required: true }),
		container: t.string({ required: true, description: containerText }),
		timeoutSeconds: t.int({ description: "Before it is killed; null: as the container says." }),
		deadlineSeconds: t.int({ description: deadlineText }),
	}),
});
const RemoveContainerInput = builder.inputType("RemoveContainerInput", {
	fields: (t) => ({
		hostId: t.id({ required: true }),
		container: t.string({ required: true, description: containerText }),
		force: t.boolean({ description: "Also when it runs." }),
		volumes: t.boolean({ description: "With its anonymous volumes." }),
		deadlineSeconds: t.int({ description: deadlineText }),
	}),
});
const PullImageInput = builder.inputType("PullImageInput", {
	fields: (t) => ({
		hostId: t.id({ required: true }),
		image: t.string({ required: true }),
		deadlineSeconds: t.int({ description: deadlineText }),
	}),
});

type Ask = (deps: Deps, operator: OperatorPrincipal, raw: unknown) => Promise<CommandRecord>;

function action(name: string, input: InputRef<unknown>, role: Role, description: string, request: Ask): void {
	builder.mutationField(name, (t) =>
		t.field({
			type: CommandPayload,
			description: `${description} Role: ${role}.`,
			args: { input: t.arg({ type: input, required: true }) },
			resolve: async (_, args, ctx) => ({ command: await request(ctx.deps, ctx.as(role), args.input) }),
		}),
	);
}

const fused = "The host must be FUSED; while it is DEGRADED the command waits for its return.";
action("containerLogs", ContainerLogsInput, "operator", "Reads a container's logs: see commandOutput.", containerLogs);
action(
	"inspectContainer",
	ContainerInput,
	"operator",
	"Docker's whole description of a container, as the command's result.",
	onContainerOf("container.inspect"),
);
action("execContainer", ExecContainerInput, "admin", "Runs a program in a running container: see commandOutput.", execContainer);
action("createContainer", CreateContainerInput, "admin", `Makes a container. ${fused}`, createContainer);
action("startContainer", ContainerInput, "admin", `Starts a container. ${fused}`, onContainerOf("container.start"));
action("stopContainer", StopContainerInput, "admin", `Stops a container. ${fused}`, stopOrRestart("container.stop"));
action(
	"restartContainer",
	StopContainerInput as never,
	"admin",
	`Stops and starts a container. ${fused}`,
	stopOrRestart("container.restart"),
);
action("removeContainer", RemoveContainerInput, "admin", `Removes a container. ${fused}`, removeContainer);
action("pullImage", PullImageInput, "admin", `Fetches an image. ${fused}`, pullImage);
