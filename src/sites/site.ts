export const enrollmentPolicies = ["AUTO_APPROVE", "REQUIRE_APPROVAL"] as const;
export type EnrollmentPolicy = (typeof enrollmentPolicies)[number];

/** A place, named by its code. Times are milliseconds since the epoch. */
export interface SiteRecord {
	readonly id: string;
	readonly tenantId: string;
	readonly code: string;
	readonly name: string;
	readonly enrollmentPolicy: EnrollmentPolicy;
	readonly workerNamePattern: string | null;
	readonly createdAt: number;
}

/** A group of workers inside a site. */
export interface FleetRecord {
	readonly id: string;
	readonly tenantId: string;
	readonly siteId: string;
	readonly name: string;
	readonly createdAt: number;
}

/** Who owns sites. */
export interface TenantRecord {
	readonly id: string;
	readonly slug: string;
	/** The names expected of workers whose site has no pattern of its own (A14). */
	readonly workerNamePattern: string | null;
}
