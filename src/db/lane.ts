import type { Sql } from "./port.ts";
import type { Session, Statement } from "./session.ts";
import { templateOver } from "./template.ts";

/** The statements of one session in the order they were awaited, one after the other, until the lane ends; from then on each is refused. */
export class Lane {
	/** The first error that a statement ended with. */
	failure: unknown;
	readonly #session: Session;
	readonly #waiting: Statement[] = [];
	#running: Promise<void> | undefined;
	#ended: Error | undefined;

	constructor(session: Session) {
		this.#session = session;
	}

	/** Takes a statement that was awaited; it is settled when its turn has come, or at once when the lane has ended. */
	add(statement: Statement): void {
		if (this.#ended === undefined) {
			this.#waiting.push(statement);
			this.#running ??= this.#run();
		} else {
			statement.reject(this.#ended);
		}
	}

	/** Resolves when no statement waits or runs. */
	async idle(): Promise<void> {
		while (this.#running !== undefined) await this.#running;
	}

	/** Refuses what waits and what still comes, with this error; resolves when the statement under way is settled. */
	async end(why: Error): Promise<void> {
		this.#ended ??= why;
		for (const statement of this.#waiting.splice(0)) statement.reject(this.#ended);
		await this.idle();
	}

	/** Runs a text of the owner's own, also after the end; gives the command tag, such as COMMIT. Only while the lane is idle. */
	async say(base: Sql, text: string): Promise<unknown> {
		const statement = templateOver(base, (made) => {
			this.#running = this.#session.run(made).then(() => {
				this.#running = undefined;
			});
		}).unsafe(text);
		try {
			return (await statement).command;
		} finally {
			await this.idle();
		}
	}

	async #run(): Promise<void> {
		for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
			next.then(undefined, (error: unknown) => {
				this.failure ??= error;
			});
			await this.#session.run(next);
		}
		this.#running = undefined;
	}
}
