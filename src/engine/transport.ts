/** One request to the Docker Engine's API. */
export interface EngineRequest {
	readonly method: "GET" | "HEAD" | "POST" | "PUT" | "DELETE";
	/** Without version and query: `/containers/json`. Parts that come from outside are encoded already. */
	readonly path: string;
	readonly query?: Readonly<Record<string, string>>;
	readonly headers?: Readonly<Record<string, string>>;
	readonly body?: string | Uint8Array;
	readonly signal?: AbortSignal | undefined;
}

/** An answer whose body may still be coming. */
export interface EngineResponse {
	readonly status: number;
	/** A header by its name in lower case. */
	readonly header: (name: string) => string | undefined;
	/** Read as slowly as it is asked for: what is not read is not fetched. Ending the iteration early ends the connection. */
	readonly body: AsyncIterable<Uint8Array>;
}

/** A connection that was taken over after `101 Switching Protocols`: bytes in both directions. */
export interface EngineDuplex {
	readonly output: AsyncIterable<Uint8Array>;
	/** Resolves once there is room for more. Rejects when the connection is gone. */
	write(data: Uint8Array): Promise<void>;
	/** Ends the way to Docker; what Docker still sends can be read. */
	end(): void;
	/** Cuts both ways; may be called at any time. */
	destroy(): void;
}

/**
 * The way to a Docker Engine: its Unix socket (the worker), or a proxy (the server, through Portainer). Rejects with `EngineError`
 * `docker_unavailable` when there is no way, with the remedy; with the signal's reason when it was aborted; HTTP errors are answers.
 */
export interface EngineTransport {
	request(request: EngineRequest): Promise<EngineResponse>;
	/** A POST that asks for the raw connection. Docker's refusal comes as `EngineError`. */
	hijack(request: EngineRequest): Promise<EngineDuplex>;
}
