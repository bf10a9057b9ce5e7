/** `npm run demo -- --mesh`: on the loopback, with no rights. */
import { expect, test } from "bun:test";
import { findParts } from "../../scripts/demo/mesh-parts.ts";
import { commandFor } from "../support/runtimes.ts";
import { headscaleBinaries } from "../support/headscale.ts";
import { tailscaleMissing } from "../support/tailscale.ts";
import { testMs } from "./support.ts";

async function demo(args: readonly string[]): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
	const child = Bun.spawn([...commandFor("bun", "scripts/demo.ts", args)], { stdout: "pipe", stderr: "pipe" });
	const [stdout, stderr, code] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
	return { code, stdout, stderr };
}

test.skipIf(tailscaleMissing !== undefined || headscaleBinaries.length === 0)(
	"H5 H7: the demo of the mesh shows its evidence to the end and ends 0 (needs Headscale and Tailscale)",
	async () => {
		const { code, stdout, stderr } = await demo(["--mesh"]);

		expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
		for (const said of ["mesh.joined", "The LAN is closed", "Still 1 enroll attempt", "mesh.lost", "the same host again"]) {
			expect(stdout).toContain(said);
		}
	},
	testMs,
);

test("the demo of the mesh says what is missing, and the commands that install it", () => {
	const found = findParts({ PATH: "" }, []);

	expect(found).toEqual({
		missing: expect.stringMatching(/headscale and tailscale and tailscaled are not installed[\s\S]*go install[\s\S]*@v/),
	});
	expect(findParts({ TEST_HEADSCALE_BINARIES: process.execPath, MUSTER_TAILSCALE: process.execPath }, [])).toEqual({
		missing: expect.stringContaining("tailscaled is not installed"),
	});
});

test("an argument that the demo does not know ends it with 64", async () => {
	expect(await demo(["--mash"])).toMatchObject({ code: 64, stderr: expect.stringContaining("--mash") });
});
