/** How the dashboard bears a large fleet: 10,000 hosts, 500 changes a second, five minutes. The longest task and the heap of the page, in Chromium. */
import type { CDPSession, Page } from "playwright-core";
import { launch, signIn, visit } from "../tests/e2e/browser.ts";
import { testDatabase } from "../tests/support/db.ts";
import { startMuster } from "../tests/support/muster.ts";
import { churn, seedFleet } from "./dashboard-fleet.ts";

/** What one page came to. */
interface Figures {
	readonly page: string;
	readonly changes: number;
	readonly changesASecond: number;
	/** Milliseconds; tasks below 50 are not reported by the browser and count as 0. */
	readonly longestTaskMs: number;
	readonly longTasks: number;
	/** The longest one's own time on the processor, traced for half a minute: on a busy machine the clock counts others' work too. */
	readonly longestTaskCpuMs: number;
	/** After a garbage collection, at the start, and each tenth of the time. */
	readonly heapMiB: readonly number[];
	/** Sockets that ended meanwhile, for example since the page fell behind. */
	readonly closedSockets: number;
}

/** Opens Hosts and the overview in turn while hosts change; scrolls through the list meanwhile. */
export async function dashboard(
	hosts: number,
	perSecond: number,
	minutes: number,
	progress: (text: string) => void,
): Promise<readonly Figures[]> {
	const database = await testDatabase();
	const server = await startMuster({ databaseUrl: database.url });
	const browser = await launch();
	const found: Figures[] = [];
	try {
		const tenantId = await seedFleet(database.db, hosts);
		for (const place of ["#/hosts", "#/"]) {
			await using window = await visit(browser, `${server.url}/${place}`);
			await signIn(window.page, server.adminToken);
			await window.page
				.locator(place === "#/" ? ".states" : "[data-host]")
				.first()
				.waitFor();
			const changes = churn(database.db, tenantId, hosts, perSecond);
			try {
				found.push(await watch(window.page, place, minutes, () => changes.stop(), progress));
			} finally {
				await changes.stop();
			}
			if (window.faults.length > 0) throw new Error(window.faults.join("\n"));
		}
	} finally {
		await browser.close();
		await server.stop();
		await database.drop();
	}
	return found;
}

async function watch(
	page: Page,
	place: string,
	minutes: number,
	stop: () => Promise<number>,
	progress: (text: string) => void,
): Promise<Figures> {
	const session = await page.context().newCDPSession(page);
	let closedSockets = 0;
	page.on("websocket", (socket) => socket.on("close", () => (closedSockets += 1)));
	await page.evaluate(() => {
		const kept: number[] = [];
		Object.assign(globalThis, { longTasks: kept });
		new PerformanceObserver((list) => kept.push(...list.getEntries().map(({ duration }) => duration))).observe({
			entryTypes: ["longtask"],
		});
	});
	const startedMs = performance.now();
	const heapMiB = [await heapOf(session, page)];
	for (let step = 1; step <= 10; step++) {
		const endMs = startedMs + (step * minutes * 60_000) / 10;
		while (performance.now() < endMs) {
			// Somebody who looks around: to a place anywhere in the list, and back to the top.
			await page.evaluate((share) => scrollTo(0, share * document.body.scrollHeight), Math.random() < 0.3 ? 0 : Math.random());
			await page.waitForTimeout(1_000);
		}
		heapMiB.push(await heapOf(session, page));
		progress(`${place}: ${step * 10} %, heap ${heapMiB.at(-1)} MiB`);
	}
	const longestTaskCpuMs = await longestTraced(page);
	const changes = await stop();
	const tasks = await page.evaluate(() => (globalThis as unknown as { longTasks: number[] }).longTasks);
	return {
		page: place,
		changes,
		changesASecond: Math.round(changes / ((performance.now() - startedMs) / 1_000)),
		longestTaskMs: Math.round(Math.max(0, ...tasks)),
		longTasks: tasks.length,
		longestTaskCpuMs,
		heapMiB,
		closedSockets,
	};
}

interface Traced {
	readonly name: string;
	readonly ph: string;
	readonly pid: number;
	readonly tid: number;
	/** Microseconds on the processor. */
	readonly tdur?: number;
	readonly args?: { readonly name?: string };
}

/** The longest task of the page's main thread by its processor time, in milliseconds, over half a minute of scrolling. */
async function longestTraced(page: Page): Promise<number> {
	const browser = page.context().browser();
	if (browser === null) return Number.NaN;
	await browser.startTracing(page, { categories: ["devtools.timeline", "disabled-by-default-devtools.timeline", "toplevel"] });
	for (let step = 0; step < 30; step++) {
		await page.evaluate((share) => scrollTo(0, share * document.body.scrollHeight), Math.random());
		await page.waitForTimeout(1_000);
	}
	const { traceEvents } = JSON.parse((await browser.stopTracing()).toString()) as { readonly traceEvents: readonly Traced[] };
	const mains = new Set(
		traceEvents
			.filter(({ name, args }) => name === "thread_name" && args?.name === "CrRendererMain")
			.map(({ pid, tid }) => `${pid} ${tid}`),
	);
	const tasks = traceEvents.filter(({ name, pid, tid }) => name.endsWith("RunTask") && mains.has(`${pid} ${tid}`));
	return Math.round(Math.max(0, ...tasks.map(({ tdur }) => (tdur ?? 0) / 1_000)) * 10) / 10;
}

async function heapOf(session: CDPSession, page: Page): Promise<number> {
	await session.send("HeapProfiler.collectGarbage");
	const bytes = await page.evaluate(() => (performance as unknown as { memory: { usedJSHeapSize: number } }).memory.usedJSHeapSize);
	return Math.round((bytes / 1_048_576) * 10) / 10;
}
