/**
 * What happened, in order: a running SHA-256 over every event, by which two runs of one seed are compared, and the
 * last lines in readable form, by which a failure is understood.
 */
import { createHash, type Hash } from 'node:crypto';

/** Lines kept for people; older ones live on in the hash only. */
const LINE_COUNT_MAX = 2_000;

export class Trace {
  readonly #hash: Hash = createHash('sha256');
  readonly #lines: string[] = [];
  #eventCount = 0;
  /** When set, each line is also handed out as it happens. */
  onLine: ((line: string) => void) | undefined;

  get eventCount(): number {
    return this.#eventCount;
  }

  /** `content` enters the hash but not the line: the bytes written or carried. */
  event(timeMs: number, machine: string, operation: string, facts: string, content?: Uint8Array): void {
    const line = `${timeMs.toFixed(3)} ${machine} ${operation} ${facts}`;
    this.#eventCount++;
    this.#hash.update(`${line}\n`);
    if (content !== undefined) this.#hash.update(content);
    this.#lines.push(line);
    // Trimmed in bulk: shifting one by one costs more than the simulation itself.
    if (this.#lines.length >= 2 * LINE_COUNT_MAX) this.#lines.splice(0, LINE_COUNT_MAX);
    this.onLine?.(line);
  }

  /** Hex of everything so far; equal for two runs exactly when they saw the same events in the same order. */
  digest(): string {
    return this.#hash.copy().digest('hex');
  }

  tail(lineCount: number): readonly string[] {
    return this.#lines.slice(-Math.min(lineCount, LINE_COUNT_MAX));
  }
}
