/** What the tests of stacks ask of the API. */
import { asAdmin } from "../support/muster.ts";

type Server = { readonly url: string; readonly adminToken: string };

/** A stack of two services, one of which has a secret by a variable. */
export const compose = `
services:
  web:
    image: app:1
    depends_on: [db]
    environment: { TOKEN: "\${TOKEN}" }
    command: [serve, "--token=\${TOKEN}"]
  db:
    image: db:1
    volumes: [data:/data]
volumes: { data: }
`;
export const secret = "a-secret-of-the-stack";
export const environment = [{ key: "TOKEN", value: secret }];

const shown = `stack { id name revision state error variables compose updatedBy host { id } services { name image replicas running }
	lastCommand { id } } command { id kind state params }`;

/** One of the mutations, by an admin. */
export async function change(server: Server, name: "deployStack" | "scaleStack" | "redeployStack" | "removeStack", input: object) {
	const type = `${name.charAt(0).toUpperCase()}${name.slice(1)}Input`;
	return (await asAdmin(server, `mutation ($input: ${type}!) { ${name}(input: $input) { ${shown} } }`, { input }))[name];
}

/** The same, for its error. */
export function refused(...args: Parameters<typeof change>): Promise<string> {
	return change(...args).then(
		(result) => `no refusal: ${JSON.stringify(result)}`,
		(error: unknown) => String(error),
	);
}

/** A stack by host and name; null when there is none. */
export async function stackOf(server: Server, hostId: string, name: string) {
	const query = "query ($hostId: ID) { host(id: $hostId) { stacks { id name revision state error services { name replicas running } } } }";
	const { host } = await asAdmin(server, query, { hostId });
	return host.stacks.find((it: { readonly name: string }) => it.name === name) ?? null;
}
