import { test } from "bun:test";
import { until } from "../support/until.ts";
import { startTestServer } from "./test-server.ts";
import { spawnSync } from "node:child_process";
const firehose = { id: "1", type: "subscribe", payload: { query: "subscription { firehose(bytes: 16384) }" } };
for (const rt of ["bun","deno"] as const) test("x "+rt, async () => {
  await using server = await startTestServer(rt, { drainTimeoutMs: 1000 });
  const s = await server.joined(); s.send(firehose); await s.next(); s.pause();
  await until("closed", async () => (await server.openSources()) === 0);
  for (const wait of [0, 1500, 4000, 3000]) { await new Promise(r=>setTimeout(r,wait));
  const tcp = (await Bun.file("/proc/net/tcp").text()).split("\n").filter(l => l.includes(":"+server.port.toString(16).toUpperCase().padStart(4,"0"))).map(l=>l.trim().split(/\s+/).slice(1,5).join(" "));
  console.log(rt, wait, tcp); }
}, 60000);
