/** Preloaded into a server that is measured: SIGUSR2 collects its garbage, and with HEAP_PROFILE writes what holds its memory to that file. */
import { writeFileSync } from "node:fs";
import process from "node:process";
import { heapStats } from "bun:jsc";

process.on("SIGUSR2", () => {
	Bun.gc(true);
	const file = process.env["HEAP_PROFILE"];
	if (file === undefined) return;
	const { objectTypeCounts, heapSize, heapCapacity, extraMemorySize, objectCount } = heapStats();
	const counts = Object.entries(objectTypeCounts).sort(([, left], [, right]) => right - left);
	writeFileSync(
		file,
		JSON.stringify({ heapSize, heapCapacity, rss: process.memoryUsage.rss(), extraMemorySize, objectCount, counts }, null, "\t"),
	);
	if (process.env["HEAP_SNAPSHOT"] !== undefined) writeFileSync(`${file}.heapsnapshot`, Bun.generateHeapSnapshot("v8"));
});
