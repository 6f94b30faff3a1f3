/** A role: an office of the site. It takes work from its queues, calls the engine, writes to the journal. */
export interface Role {
  readonly name: string;
  /** Aborts what is under way and resolves when it has ended. Nothing is lost: the work stays queued. */
  stop(): Promise<void>;
}

/** Several consumers played as one role. */
export function roleOf(name: string, parts: readonly { stop(): Promise<void> }[]): Role {
  return {
    name,
    async stop() {
      await Promise.all(parts.map((part) => part.stop()));
    },
  };
}
