import type { StackMount } from "../engine/stack-model.ts";
import { type At, choice, has, items, readMap, shown, text, truth, wrong } from "./compose-at.ts";
import { bytes } from "./compose-units.ts";

const plain = { readOnly: false, noCopy: false, createHostPath: true, tmpfsBytes: 0 } as const;

/** `volumes` of a service, short and long. A path of the host's has to be absolute: the file lies on no host. Twice the same target is a problem. */
export function readMounts(at: At): StackMount[] {
	const mounts = items(at).flatMap((item) => {
		const mount = item.value instanceof Map ? longMount(item) : shortMount(item);
		return mount === undefined ? [] : [{ mount, item }];
	});
	const seen = new Set<string>();
	for (const { mount, item } of mounts) {
		if (seen.has(mount.target)) wrong(item, `mounts at ${mount.target}, as another one does: give each its own target`);
		seen.add(mount.target);
	}
	return mounts.map(({ mount }) => mount);
}

function shortMount(at: At): StackMount | undefined {
	const written = text(at);
	if (written === undefined) return undefined;
	const parts = written.split(":");
	const [source, target, options, ...more] = parts.length === 1 ? [null, ...parts] : parts;
	if (target === undefined || target === null || target === "" || source === "" || more.length > 0)
		return wrong(at, `is ${shown(written)}, and has to be "volume:/path" or "/host/path:/path", with :ro for reading only`);
	const known = { ro: { readOnly: true }, rw: {}, nocopy: { noCopy: true } } as const;
	const names = (options ?? "rw").split(",");
	const unknown = names.find((name) => !Object.hasOwn(known, name));
	if (unknown !== undefined) return wrong(at, `has the option ${shown(unknown)}, which is not supported: use ro, rw or nocopy`);
	const flags = Object.assign({}, ...names.map((name) => known[name as keyof typeof known])) as Partial<StackMount>;
	const isPath = source !== null && /^[./~]/.test(source);
	return finished(at, { ...plain, ...flags, type: isPath ? "bind" : "volume", source: source ?? null, target });
}

function longMount(at: At): StackMount | undefined {
	const mount: { -readonly [K in keyof StackMount]: StackMount[K] | undefined } = {
		...plain,
		type: undefined,
		source: null,
		target: undefined,
	};
	readMap(
		at,
		{
			type: (it) => {
				mount.type = choice(it, ["volume", "bind", "tmpfs"]);
			},
			source: (it) => {
				mount.source = text(it) ?? null;
			},
			target: (it) => {
				mount.target = text(it);
			},
			read_only: (it) => {
				mount.readOnly = truth(it) ?? false;
			},
			volume: (it) =>
				readMap(it, {
					nocopy: (flag) => {
						mount.noCopy = truth(flag) ?? false;
					},
				}),
			bind: (it) =>
				readMap(it, {
					create_host_path: (flag) => {
						mount.createHostPath = truth(flag) ?? true;
					},
				}),
			tmpfs: (it) =>
				readMap(it, {
					size: (size) => {
						mount.tmpfsBytes = bytes(size) ?? 0;
					},
				}),
		},
		{ consistency: "it means nothing on Linux, take it out" },
	);
	const { type, target } = mount;
	if (!has(at, "type")) return wrong(at, "has no type: give volume, bind or tmpfs");
	if (!has(at, "target")) return wrong(at, "has no target: give the path in the container");
	if (type === undefined || target === undefined) return undefined;
	if (type === "bind" && !has(at, "source")) return wrong(at, "has no source: give the path on the host");
	if (type === "tmpfs" && has(at, "source")) return wrong(at, "is a tmpfs with a source: take the source out");
	return finished(at, { ...plain, ...mount, type, target, source: mount.source ?? null } as StackMount);
}

function finished(at: At, mount: StackMount): StackMount | undefined {
	if (!mount.target.startsWith("/")) return wrong(at, `mounts at ${shown(mount.target)}: give an absolute path`);
	if (mount.type === "bind" && mount.source?.startsWith("/") !== true)
		return wrong(at, `has the host's path ${shown(mount.source ?? "")}, and the file lies on no host: give an absolute path`);
	if (mount.type === "bind" && (mount.source?.includes(":") === true || mount.target.includes(":")))
		return wrong(at, "has a colon in a path, which Docker takes for its end: use another path");
	return mount;
}
