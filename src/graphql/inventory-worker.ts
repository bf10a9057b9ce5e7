import { reportEngine, reportHostEvents } from "../inventory/reports.ts";
import { builder } from "./builder.ts";
import { LabelInput } from "./label.ts";

const EngineInput = builder.inputType("EngineInput", {
	fields: (t) => ({ id: t.string({ required: true }), version: t.string({ required: true }), apiVersion: t.string({ required: true }) }),
});
const ContainerReportInput = builder.inputType("ContainerReportInput", {
	fields: (t) => ({
		id: t.string({ required: true }),
		name: t.string({ required: true }),
		image: t.string({ required: true }),
		state: t.string({ required: true }),
		status: t.string({ required: true }),
		createdAt: t.field({ type: "DateTime", required: true }),
		labels: t.field({ type: [LabelInput], required: true }),
		ports: t.stringList({ required: true }),
	}),
});
const EngineReportInput = builder.inputType("EngineReportInput", {
	fields: (t) => ({
		engine: t.field({ type: EngineInput, description: "Null: there is none." }),
		reason: t.string({ description: "Why there is none, with the remedy." }),
		containers: t.field({ type: [ContainerReportInput], required: true, description: "All of them, at most 2,000." }),
	}),
});
const HostEventInput = builder.inputType("HostEventInput", {
	fields: (t) => ({
		at: t.field({ type: "DateTime", required: true }),
		type: t.string({ required: true }),
		action: t.string({ required: true }),
		subject: t.string({ required: true }),
		name: t.string(),
		attributes: t.field({ type: "JSON", required: true, description: "Texts by name." }),
	}),
});
const HostEventsInput = builder.inputType("HostEventsInput", {
	fields: (t) => ({ events: t.field({ type: [HostEventInput], required: true, description: "Oldest first, at most 200." }) }),
});
const ContainerFiguresInput = builder.inputType("ContainerFiguresInput", {
	fields: (t) => ({
		containerId: t.string({ required: true }),
		cpuCores: t.float({ required: true }),
		memoryBytes: t.float({ required: true }),
		memoryLimitBytes: t.float(),
		networkReceivedBytes: t.float({ required: true }),
		networkSentBytes: t.float({ required: true }),
	}),
});
const ContainerStatsInput = builder.inputType("ContainerStatsInput", {
	fields: (t) => ({ containers: t.field({ type: [ContainerFiguresInput], required: true }) }),
});
const ReportPayload = builder.objectRef<{ at: number }>("ReportPayload").implement({
	fields: (t) => ({ serverTime: t.expose("at", { type: "DateTime" }) }),
});

builder.mutationFields((t) => ({
	reportEngine: t.field({
		type: ReportPayload,
		description: "The engine and containers of the worker's host, whole. For workers.",
		args: { input: t.arg({ type: EngineReportInput, required: true }) },
		resolve: async (_, { input }, ctx) => ({ at: await reportEngine(ctx.deps, ctx.asWorker(), input) }),
	}),
	reportHostEvents: t.field({
		type: ReportPayload,
		description: "Events of the engine of the worker's host. For workers.",
		args: { input: t.arg({ type: HostEventsInput, required: true }) },
		resolve: async (_, { input }, ctx) => ({ at: await reportHostEvents(ctx.deps, ctx.asWorker(), input) }),
	}),
	reportContainerStats: t.field({
		type: ReportPayload,
		description: "Figures of the running containers, at each heartbeat. For workers.",
		args: { input: t.arg({ type: ContainerStatsInput, required: true }) },
		resolve: async (_, { input }, ctx) => ({ at: await ctx.containerStats.report(ctx.asWorker(), input) }),
	}),
}));
