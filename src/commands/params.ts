import type { Deps } from "../deps.ts";
import { VaultError } from "../keys/vault.ts";
import { type CommandEnd, type CommandRecord, paramsPlace } from "./command.ts";

/** A command's parameters in full; or how it ends, since nobody can know them. */
export type FullParams = { readonly kind: "opened"; readonly params: unknown } | { readonly kind: "closed"; readonly end: CommandEnd };

/**
 * The parameters of a command whose sealed ones, if it has any, are given. Those that do not open (the master key was lost or replaced) end it, for
 * it would hold up all that wait behind it. One that was handed out before may have been done: it ends as interrupted. Pure.
 */
export function fullParams({ vault }: Pick<Deps, "vault">, command: CommandRecord, sealed: string | null): FullParams {
	if (sealed === null) return { kind: "opened", params: command.params };
	try {
		return { kind: "opened", params: JSON.parse(vault.open(sealed, paramsPlace(command.id))) };
	} catch (error) {
		if (!(error instanceof VaultError)) throw error;
		const [code, what] =
			command.handedAt === null
				? (["internal", "It was not begun"] as const)
				: (["interrupted", "It was given out before, and nobody can say how far it came"] as const);
		return {
			kind: "closed",
			end: { state: "FAILED", code, message: `${what}: its parameters cannot be read. ${error.message}; then ask for it again` },
		};
	}
}
