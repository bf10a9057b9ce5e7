/** The names of the variables that a compose file asks for (`$NAME`, `${NAME}`, `${NAME:-default}`), each once, in their order; `$$` is a plain `$`. Pure. */
export function variablesIn(compose: string): readonly string[] {
	const found = compose.replaceAll("$$", "").matchAll(/\$(?:\{([A-Za-z_]\w*)|([A-Za-z_]\w*))/g);
	return [...new Set([...found].map(([, braced, plain]) => braced ?? plain ?? ""))];
}
