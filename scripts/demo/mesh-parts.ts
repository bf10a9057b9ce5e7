/** What `npm run demo -- --mesh` needs besides Muster: real programs of other projects. */
import { accessSync, constants, statSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";

/** The programs, by their paths. */
export interface MeshParts {
	readonly headscale: string;
	readonly tailscale: string;
	readonly tailscaled: string;
}

const howTo = [
	"Install both and run it again:",
	"  Headscale   https://headscale.net/stable/setup/install/official/, or",
	"              GOBIN=/usr/local/bin CGO_ENABLED=0 go install github.com/juanfont/headscale/cmd/headscale@v0.29.2",
	"  Tailscale   curl -fsSL https://tailscale.com/install.sh | sh, or",
	"              GOBIN=/usr/local/bin go install tailscale.com/cmd/tailscale@v1.102.3 tailscale.com/cmd/tailscaled@v1.102.3",
	"Programs elsewhere are named by MUSTER_HEADSCALE, MUSTER_TAILSCALE and MUSTER_TAILSCALED.",
].join("\n");

const usualPlaces: readonly string[] = ["/usr/local/bin", "/usr/sbin", "/usr/bin"];

/** Finds them: by variables, by those of the tests, on the PATH and where packages put them. Says what to install when one is missing. */
export function findParts(
	env: Readonly<Record<string, string | undefined>> = process.env,
	usual: readonly string[] = usualPlaces,
): MeshParts | { readonly missing: string } {
	const places = [...(env["PATH"] ?? "").split(":").filter((place) => place !== ""), ...usual];
	const found = {
		headscale: first([env["MUSTER_HEADSCALE"], (env["TEST_HEADSCALE_BINARIES"] ?? "").split(":")[0], ...on("headscale", places)]),
		tailscale: first([env["MUSTER_TAILSCALE"], ...on("tailscale", [env["TEST_TAILSCALE_DIR"], ...places])]),
		tailscaled: first([env["MUSTER_TAILSCALED"], ...on("tailscaled", [env["TEST_TAILSCALE_DIR"], ...places])]),
	};
	const { headscale, tailscale, tailscaled } = found;
	if (headscale !== undefined && tailscale !== undefined && tailscaled !== undefined) return { headscale, tailscale, tailscaled };
	const names = Object.entries(found).flatMap(([name, path]) => (path === undefined ? [name] : []));
	return { missing: `Cannot show the mesh: ${names.join(" and ")} ${names.length === 1 ? "is" : "are"} not installed.\n${howTo}` };
}

function on(name: string, places: readonly (string | undefined)[]): readonly string[] {
	return places.flatMap((place) => (place ? [join(place, name)] : []));
}

function first(paths: readonly (string | undefined)[]): string | undefined {
	return paths.find((path) => {
		try {
			accessSync(path ?? "", constants.X_OK);
			return statSync(path ?? "").isFile();
		} catch {
			return false;
		}
	});
}
