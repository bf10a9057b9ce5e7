import { type AutoEnrollmentView, autoEnrollment, configureAutoEnrollment } from "../auto-enrollment/auto-enrollment.ts";
import { configSources } from "../auto-enrollment/store.ts";
import { ApiKeyRef } from "./api-key.ts";
import { builder } from "./builder.ts";

const ConfigSourceEnum = builder.enumType("ConfigSource", {
	description: "Who configures something: an admin through the API, or the server's environment.",
	values: configSources,
});

const AutoEnrollmentType = builder.objectRef<AutoEnrollmentView>("AutoEnrollment").implement({
	description: "Enrollment by a secret of the tenant that the worker proves without sending it. Off by default.",
	fields: (t) => ({
		enabled: t.exposeBoolean("enabled"),
		hasSecret: t.boolean({ resolve: ({ secretFingerprint }) => secretFingerprint !== null }),
		secretFingerprint: t.exposeString("secretFingerprint", { nullable: true, description: "Safe to show: `v2 (A1B2)`." }),
		hasApiKey: t.boolean({
			description: "False until the first enrollment mints one.",
			resolve: ({ credentialId }) => credentialId !== null,
		}),
		apiKeyHint: t.string({
			nullable: true,
			resolve: async ({ credentialId }, _, ctx) =>
				credentialId === null ? null : ((await ApiKeyRef.getDataloader(ctx).load(credentialId))?.hint ?? null),
		}),
		apiKey: t.field({
			type: ApiKeyRef,
			nullable: true,
			description: "The shared API key that workers are given now.",
			resolve: ({ credentialId }) => credentialId,
		}),
		configuredBy: t.field({ type: ConfigSourceEnum, nullable: true, resolve: ({ configuredBy }) => configuredBy }),
		enabledAt: t.expose("enabledAt", { type: "DateTime", nullable: true, description: "Since when it has been on." }),
		updatedAt: t.expose("updatedAt", { type: "DateTime", nullable: true }),
	}),
});

builder.queryField("autoEnrollment", (t) =>
	t.field({
		type: AutoEnrollmentType,
		description: "Never shows the secret nor the API key. Role: viewer.",
		resolve: (_, __, ctx) => autoEnrollment(ctx.deps, ctx.as("viewer").tenantId),
	}),
);

const ConfigureAutoEnrollmentInput = builder.inputType("ConfigureAutoEnrollmentInput", {
	fields: (t) => ({
		enabled: t.boolean({ required: true }),
		enrollmentSecret: t.string({ description: "32 characters or more. Left out: stays as it is." }),
		enrollmentApiKey: t.string({
			description:
				"The API key that auto-enrolled workers share, 32 characters or more. Left out: stays, or is minted by the first enrollment.",
		}),
		newApiKey: t.boolean({
			description: "Mints another shared API key for later enrollments; workers on the old one go on until it is revoked.",
		}),
		graceSeconds: t.int({ description: "How long the former secret stays valid; 0 when left out." }),
	}),
});
const AutoEnrollmentPayload = builder.objectRef<{ autoEnrollment: AutoEnrollmentView }>("AutoEnrollmentPayload").implement({
	fields: (t) => ({ autoEnrollment: t.field({ type: AutoEnrollmentType, resolve: (payload) => payload.autoEnrollment }) }),
});

builder.mutationField("configureAutoEnrollment", (t) =>
	t.field({
		type: AutoEnrollmentPayload,
		description: "Role: admin.",
		args: { input: t.arg({ type: ConfigureAutoEnrollmentInput, required: true }) },
		resolve: async (_, { input }, ctx) => ({ autoEnrollment: await configureAutoEnrollment(ctx.deps, ctx.as("admin"), input) }),
	}),
);
