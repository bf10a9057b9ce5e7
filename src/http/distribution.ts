/** What a host needs before it has a worker: the install script and the compiled workers. Needs no authentication: both are public. */
import { createDownloads } from "./downloads.ts";
import { createInstallScript } from "./install-script.ts";

export interface DistributionOptions {
	/** Where `npm run build:worker` leaves the workers. */
	readonly dist: string;
	/** The server's own URL, for clients that name none. */
	publicUrl(): string;
}

/** The routes, for `AppOptions.extraRoutes`. */
export function createDistribution(options: DistributionOptions): (request: Request, pathname: string) => Promise<Response> | undefined {
	const script = createInstallScript(() => options.publicUrl());
	const downloads = createDownloads(options.dist);
	return (request, pathname) => script(request, pathname) ?? downloads(request, pathname);
}
