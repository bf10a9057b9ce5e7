/** Stacks for tests, told by what is particular about them. */
import type { StackModel, StackNetwork, StackService, StackVolume } from "../../src/engine/stack-model.ts";
import { plainService } from "../../src/stacks/compose-service.ts";

/** A service with one container of the image `app`, on the project's default network. */
export function service(name: string, its: Partial<StackService> = {}): StackService {
	return { ...plainService, name, image: "app", networks: [{ key: "default", aliases: [], ipv4Address: null }], ...its };
}

/** A network of the project `shop`. */
export function network(key: string, its: Partial<StackNetwork> = {}): StackNetwork {
	const plain = { driver: null, driverOptions: {}, internal: false, attachable: false, enableIpv6: false, subnets: [], labels: {} };
	return { key, name: `shop_${key}`, external: false, ...plain, ...its };
}

/** A volume of the project `shop`. */
export function volume(key: string, its: Partial<StackVolume> = {}): StackVolume {
	return { key, name: `shop_${key}`, external: false, driver: null, driverOptions: {}, labels: {}, ...its };
}

/** The project `shop` of these services. */
export function stack(services: readonly StackService[], its: Partial<StackModel> = {}): StackModel {
	return { project: "shop", services: [...services], networks: [network("default")], volumes: [], ...its };
}

/** What a service needs of another. */
export const needs = (name: string, condition: StackService["dependsOn"][number]["condition"] = "service_started") => ({
	service: name,
	condition,
	required: true,
	restart: false,
});
