/** What a command says, as it says it: a container's logs, a program run in it. */
import { useEffect, useRef, useState } from "preact/hooks";
import { type ApiError, followOnce, send } from "../api/client.ts";
import { useAction } from "../api/hooks.ts";
import { commandQuery, execMutation, inputMutation, logsMutation, outputSubscription } from "../operations/containers.ts";
import { Problem } from "./bits.tsx";
import { Dialog } from "./dialog.tsx";

interface Place {
	readonly hostId: string;
	readonly container: string;
}
interface Piece {
	readonly key: number;
	readonly stream: string;
	readonly text: string;
}

interface End {
	readonly words: string;
	readonly isBad: boolean;
}

/** Characters that are kept: about a minute of a talkative program, and no more than a page can scroll through. */
const keptMax = 200_000;

/** The last lines of a container, and those that come. */
export function Logs({ hostId, container, close }: Place & { readonly close: () => void }) {
	const [id, setId] = useState<string>();
	const action = useAction();
	useEffect(() => {
		void action.run(async () => {
			const { containerLogs } = await send(logsMutation, { input: { hostId, container, follow: true, tail: 300 } });
			setId(containerLogs.command.id);
		});
	}, [hostId, container]);
	return (
		<Dialog title={`Logs of ${container}`} close={close} wide>
			<Problem error={action.error} />
			<Output id={id} />
			<div class="buttons">
				<button type="button" class="primary" onClick={close}>
					Close
				</button>
			</div>
		</Dialog>
	);
}

/** Runs a line with the container's shell; what it asks for is typed below. */
export function Exec({ hostId, container, close }: Place & { readonly close: () => void }) {
	const [line, setLine] = useState("");
	const [id, setId] = useState<string>();
	const [isOver, setOver] = useState(false);
	const [typed, setTyped] = useState("");
	const action = useAction();
	const start = () =>
		void action.run(async () => {
			setOver(false);
			const { execContainer } = await send(execMutation, { input: { hostId, container, command: ["sh", "-c", line], stdin: true } });
			setId(execContainer.command.id);
		});
	const type = () =>
		void action.run(async () => {
			if (id === undefined) return;
			await send(inputMutation, { id, data: base64(`${typed}\n`) });
			setTyped("");
		});
	return (
		<Dialog title={`Run in ${container}`} close={close} wide>
			<form
				class="line"
				onSubmit={(event) => {
					event.preventDefault();
					start();
				}}
			>
				<input
					required
					aria-label="Command"
					placeholder="ls -l /etc"
					autocomplete="off"
					spellcheck={false}
					value={line}
					onInput={(event) => setLine(event.currentTarget.value)}
				/>
				<button type="submit" class="primary" disabled={action.busy}>
					Run
				</button>
			</form>
			<p class="quiet">Run by the container's sh. The line is on record in the audit log: put no secrets into it.</p>
			<Problem error={action.error} />
			{id === undefined ? null : <Output key={id} id={id} ended={() => setOver(true)} />}
			{id === undefined || isOver ? null : (
				<form
					class="line"
					onSubmit={(event) => {
						event.preventDefault();
						type();
					}}
				>
					<input
						aria-label="A line for it"
						placeholder="A line for its input"
						autocomplete="off"
						spellcheck={false}
						value={typed}
						onInput={(event) => setTyped(event.currentTarget.value)}
					/>
					<button type="submit">Send</button>
				</form>
			)}
			<div class="buttons">
				<button type="button" onClick={close}>
					Close
				</button>
			</div>
		</Dialog>
	);
}

/** What a command says, as it says it, and how it ended. Logs that are followed end when this is gone, changes go on. */
export function Output({ id, ended }: { readonly id: string | undefined; readonly ended?: () => void }) {
	const place = useRef<HTMLPreElement>(null);
	const [pieces, setPieces] = useState<readonly Piece[]>([]);
	const [end, setEnd] = useState<End & { readonly error: ApiError | undefined }>();
	useEffect(() => {
		if (id === undefined) return undefined;
		const waiting: Piece[] = [];
		let timer: ReturnType<typeof setTimeout> | undefined;
		const show = () => {
			timer = undefined;
			const news = waiting.splice(0);
			setPieces((before) => cut([...before, ...news]));
		};
		const stop = followOnce(
			outputSubscription,
			{ id },
			({ commandOutput: { sequence, stream, text } }) => {
				waiting.push({ key: sequence, stream, text });
				timer ??= setTimeout(show, 100);
			},
			(error) => {
				void endOf(id).then((how) => setEnd({ ...how, error }));
				ended?.();
			},
		);
		return () => {
			clearTimeout(timer);
			stop();
		};
	}, [id]);
	// Whoever scrolled up reads; whoever is at the end follows.
	useEffect(() => {
		const pre = place.current;
		if (pre !== null && pre.scrollHeight - pre.scrollTop - pre.clientHeight < 120) pre.scrollTop = pre.scrollHeight;
	}, [pieces]);
	return (
		<>
			<pre ref={place} class="output" tabIndex={0} role="log" aria-label="Output" aria-live="off">
				{pieces.length === 0 && end === undefined ? <span class="quiet">waiting for the host…</span> : null}
				{pieces.map(({ key, stream, text }) => (
					<span key={key} class={stream === "STDERR" ? "err" : ""}>
						{text}
					</span>
				))}
			</pre>
			<Problem error={end?.error} />
			{end === undefined ? null : (
				<p class={end.isBad ? "failure" : "quiet"} role="status">
					{end.words}
				</p>
			)}
		</>
	);
}

function cut(pieces: readonly Piece[]): readonly Piece[] {
	let length = 0;
	let from = pieces.length;
	while (from > 0 && length < keptMax) {
		from -= 1;
		length += pieces[from]?.text.length ?? 0;
	}
	return pieces.slice(from);
}

/** How a command ended, in words. */
async function endOf(id: string): Promise<End> {
	const { command } = await send(commandQuery, { id }).catch(() => ({ command: null }));
	if (command === null) return { words: "It ended.", isBad: false };
	if (command.errorMessage !== null) return { words: `It failed: ${command.errorMessage}`, isBad: true };
	const result = command.result as { exitCode?: number } | null;
	const words = result?.exitCode === undefined ? `It ended: ${command.state.toLowerCase()}` : `It ended with ${result.exitCode}`;
	return { words, isBad: false };
}

function base64(text: string): string {
	return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}
