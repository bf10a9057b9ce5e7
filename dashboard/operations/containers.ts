import { graphql } from "../api/graphql.ts";

export const containersQuery = graphql(`
	query Containers($id: ID!) {
		host(id: $id) {
			engine { id version reason reportedAt }
			containers(first: 100) { id name image state status ports metrics { at cpuCores memoryBytes } }
		}
	}
`);

export const happeningsQuery = graphql(`
	query Happenings($id: ID!) {
		host(id: $id) { events(first: 12) { nodes { id at type action name subject } } }
		commands(hostId: $id, first: 8) { nodes { id kind state requestedAt requestedBy errorCode errorMessage params } }
	}
`);

export const hostEventSubscription = graphql(`subscription HostEvents($ids: [ID!]) { hostEvent(hostIds: $ids) { id } }`);

export const commandsSubscription = graphql(`subscription CommandsLive($hostId: ID) { commandChanged(hostId: $hostId) { id state } }`);

export const outputSubscription = graphql(`
	subscription Output($id: ID!) { commandOutput(commandId: $id) { sequence stream text } }
`);

export const commandQuery = graphql(`query CommandEnd($id: ID!) { command(id: $id) { id state errorCode errorMessage result } }`);

export const logsMutation = graphql(`mutation Logs($input: ContainerLogsInput!) { containerLogs(input: $input) { command { id } } }`);

export const execMutation = graphql(`mutation Exec($input: ExecContainerInput!) { execContainer(input: $input) { command { id } } }`);

export const inputMutation = graphql(`
	mutation Input($id: ID!, $data: String!, $end: Boolean) { sendCommandInput(commandId: $id, data: $data, end: $end) { command { id } } }
`);

export const cancelMutation = graphql(`mutation Cancel($id: ID!) { cancelCommand(id: $id) { command { id state } } }`);

export const startMutation = graphql(`mutation Start($input: ContainerInput!) { startContainer(input: $input) { command { id } } }`);

export const stopMutation = graphql(`mutation Stop($input: StopContainerInput!) { stopContainer(input: $input) { command { id } } }`);

export const restartMutation = graphql(
	`mutation Restart($input: StopContainerInput!) { restartContainer(input: $input) { command { id } } }`,
);

export const removeMutation = graphql(
	`mutation Remove($input: RemoveContainerInput!) { removeContainer(input: $input) { command { id } } }`,
);

export const fuseMutation = graphql(
	`mutation Fuse($id: ID!, $provider: FuseProvider) { fuseHost(id: $id, provider: $provider) { host { id state } } }`,
);

export const unfuseMutation = graphql(`mutation Unfuse($id: ID!) { unfuseHost(id: $id) { host { id state } } }`);
