/** The two texts that our GraphiQL page adds to the packaged one: its start script and what a newcomer sees first. */

/** The editor's first content: how to log in, a query and a live one. */
export const welcomeQuery = `# Welcome to Muster.
#
# 1. Get a token in a terminal:   npm run token -- --role admin
# 2. Paste it below, under Headers:
#      { "authorization": "Bearer <the token>" }
#    It is also used for subscriptions, and forgotten when you leave.
# 3. Press Ctrl-Enter and pick an operation.

query Sites {
  sites(first: 10) {
    totalCount
    nodes {
      code
      name
    }
  }
}

query Hosts {
  hosts(first: 20) {
    totalCount
    nodes {
      id
      name
      state
    }
  }
}

subscription WatchHosts {
  hostChanged {
    id
    name
    state
  }
}
`;

/**
 * Starts GraphiQL with a fetcher of our own. The packaged one sends no headers over a WebSocket; this one gives the headers editor's
 * content, names in lower case, as the payload of `connection_init`, one socket for each running subscription.
 */
export const startScript = `"use strict";
const endpoint = location.pathname.replace(/\\/$/, "");
const socketUrl = location.origin.replace(/^http/, "ws") + endpoint;

function fetcher(params, options = {}) {
	const headers = Object.fromEntries(Object.entries(options.headers ?? {}).map(([name, value]) => [name.toLowerCase(), value]));
	const operations = options.documentAST?.definitions.filter((node) => node.kind === "OperationDefinition") ?? [];
	const operation = operations.find((node) => node.name?.value === params.operationName) ?? operations[0];
	return operation?.operation === "subscription" ? subscribe(params, headers) : post(params, headers);
}

async function post(params, headers) {
	const reply = await fetch(endpoint, {
		method: "POST",
		headers: { ...headers, "content-type": "application/json", accept: "application/graphql-response+json, application/json" },
		body: JSON.stringify(params),
	});
	return reply.json();
}

function subscribe(params, headers) {
	const results = [];
	let wake = () => {};
	let over = false;
	const socket = new WebSocket(socketUrl, "graphql-transport-ws");
	const say = (message) => socket.send(JSON.stringify(message));
	const finish = () => {
		over = true;
		socket.close(1000);
	};
	const take = {
		connection_ack: () => say({ id: "1", type: "subscribe", payload: params }),
		ping: () => say({ type: "pong" }),
		next: (message) => results.push(message.payload),
		error: (message) => {
			results.push({ errors: message.payload });
			finish();
		},
		complete: finish,
	};
	socket.onopen = () => say({ type: "connection_init", payload: headers });
	socket.onmessage = ({ data }) => {
		const message = JSON.parse(data);
		take[message.type]?.(message);
		wake();
	};
	socket.onclose = ({ code, reason }) => {
		if (!over) results.push({ errors: [{ message: "The socket closed with code " + code + " " + reason }] });
		over = true;
		wake();
	};
	return {
		[Symbol.asyncIterator]() {
			return this;
		},
		async next() {
			for (;;) {
				if (results.length > 0) return { done: false, value: results.shift() };
				if (over) return { done: true, value: undefined };
				await new Promise((resolve) => {
					wake = resolve;
				});
			}
		},
		async return() {
			finish();
			wake();
			return { done: true, value: undefined };
		},
	};
}

const settings = JSON.parse(document.getElementById("settings").textContent);
YogaGraphiQL.renderYogaGraphiQL(document.getElementById("root"), { ...settings, fetcher });
`;
