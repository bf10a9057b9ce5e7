/** A small Docker Engine in memory, as far as fusing by Portainer needs one. A fake: the real one is asked in tests/e2e. */
import { randomBytes } from "node:crypto";

interface FakeContainer {
	readonly Id: string;
	readonly name: string;
	readonly spec: { readonly Image: string; readonly Labels?: Record<string, string> };
	state: "created" | "running" | "exited";
}

export interface FakeEngine {
	id: string;
	readonly containers: FakeContainer[];
	/** The requests it got, as `POST /containers/create`. */
	readonly asked: string[];
	/** Answers the next request of this form with this instead. */
	failNext(request: RegExp, status: number, message: string): void;
	/** Does the next request of this form, and never answers. */
	silenceNext(request: RegExp): void;
	answer(method: string, path: string, body: string): Promise<Response>;
}

/** Makes an engine with the image `tiny`. */
export function fakeEngine(): FakeEngine {
	const failures: { readonly request: RegExp; readonly status: number; readonly message: string }[] = [];
	const silences: RegExp[] = [];
	const containers: FakeContainer[] = [];
	const find = (name: string) => containers.find(({ Id, name: own }) => Id === name || own === name);
	const refuse = (status: number, message: string) => Response.json({ message }, { status });

	function change({ state, ...rest }: FakeContainer, verb: string): Response {
		const container = find(rest.Id);
		if (container === undefined) return refuse(404, `No such container: ${rest.Id}`);
		const running = verb !== "stop";
		if (verb !== "restart" && running === (state === "running")) return new Response(null, { status: 304 });
		container.state = running ? "running" : "exited";
		return new Response(null, { status: 204 });
	}

	function handle(engine: FakeEngine, method: string, url: URL, body: string): Response {
		const path = url.pathname.replace(/^\/v1\.\d+/, "");
		if (path === "/version") return Response.json({ ApiVersion: "1.44", MinAPIVersion: "1.24" });
		if (path === "/info")
			return Response.json({ ID: engine.id, Name: "fake", ServerVersion: "27.0.0", OSType: "linux", Architecture: "x86_64" });
		if (path === "/containers/json") {
			const { label = [] } = JSON.parse(url.searchParams.get("filters") ?? "{}") as { label?: string[] };
			const wanted = containers.filter(({ spec }) =>
				label.every((one) => Object.entries(spec.Labels ?? {}).some((entry) => entry.join("=") === one)),
			);
			const Created = 1_700_000_000;
			return Response.json(
				// As Portainer's proxy does, a key more.
				wanted.map(({ Id, name, spec, state }) => ({
					Id,
					Names: [`/${name}`],
					Image: spec.Image,
					ImageID: "sha256:1",
					Created,
					State: state,
					Status: state,
					Labels: spec.Labels ?? {},
					Portainer: { ResourceControl: null },
				})),
			);
		}
		if (path === "/containers/create" && method === "POST") {
			const spec = JSON.parse(body) as FakeContainer["spec"];
			if (spec.Image !== "tiny") return refuse(404, `No such image: ${spec.Image}`);
			const name = url.searchParams.get("name") ?? `fake_${randomBytes(4).toString("hex")}`;
			if (find(name) !== undefined) return refuse(409, `Conflict. The container name "/${name}" is already in use`);
			const made: FakeContainer = { Id: randomBytes(32).toString("hex"), name, spec, state: "created" };
			containers.push(made);
			return Response.json({ Id: made.Id, Warnings: [] }, { status: 201 });
		}
		const [, name = "", verb] = /^\/containers\/([^/]+)(?:\/(\w+))?$/.exec(path) ?? [];
		const container = find(decodeURIComponent(name));
		if (container === undefined) return refuse(404, `No such container: ${name}`);
		if (method === "DELETE") {
			containers.splice(containers.indexOf(container), 1);
			return new Response(null, { status: 204 });
		}
		if (verb === "json") return Response.json(inspected(container));
		return change(container, verb ?? "");
	}

	const engine: FakeEngine = {
		id: `ENGINE-${randomBytes(6).toString("hex")}`,
		containers,
		asked: [],
		failNext: (request, status, message) => void failures.push({ request, status, message }),
		silenceNext: (request) => void silences.push(request),
		async answer(method, path, body) {
			const url = new URL(path, "http://docker");
			const request = `${method} ${url.pathname.replace(/^\/v1\.\d+/, "")}`;
			engine.asked.push(request);
			const failure = failures.findIndex((one) => one.request.test(request));
			const [failed] = failure < 0 ? [] : failures.splice(failure, 1);
			if (failed !== undefined) return refuse(failed.status, failed.message);
			const answer = handle(engine, method, url, body);
			const silence = silences.findIndex((one) => one.test(request));
			if (silence < 0) return answer;
			silences.splice(silence, 1);
			return new Promise(() => {});
		},
	};
	return engine;
}

function inspected({ Id, name, spec, state }: FakeContainer) {
	const State = {
		Status: state,
		Running: state === "running",
		ExitCode: 0,
		StartedAt: "0001-01-01T00:00:00Z",
		FinishedAt: "0001-01-01T00:00:00Z",
	};
	return {
		Id,
		Name: `/${name}`,
		Created: "2026-01-01T00:00:00Z",
		Image: "sha256:1",
		State,
		Config: { Image: spec.Image, Labels: spec.Labels ?? {} },
	};
}
