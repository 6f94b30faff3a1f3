/** The records of a payload one by one, each where it belongs. */
import { ReplicationError } from '../../errors.ts';
import { type PayloadRecord, payloadRecords, type RecordKind } from '../../wire/payload.ts';

export class RecordCursor {
  readonly #records: AsyncIterator<PayloadRecord>;
  readonly #signal: AbortSignal;
  #peeked: PayloadRecord | undefined;

  constructor(source: AsyncIterable<Uint8Array>, signal: AbortSignal) {
    this.#records = payloadRecords(source);
    this.#signal = signal;
  }

  async peek(): Promise<PayloadRecord> {
    this.#signal.throwIfAborted();
    if (this.#peeked !== undefined) return this.#peeked;
    const next = await this.#records.next();
    if (next.done === true) throw new ReplicationError('payload-invalid', 'Cannot apply a payload: it ends early');
    this.#peeked = next.value;
    return next.value;
  }

  async next(): Promise<PayloadRecord> {
    const record = await this.peek();
    this.#peeked = undefined;
    return record;
  }

  async expect(kind: RecordKind): Promise<PayloadRecord> {
    const record = await this.next();
    if (record.kind === kind) return record;
    throw new ReplicationError(
      'payload-invalid',
      `Cannot apply a payload: a ${record.kind} record stands where a ${kind} belongs`,
    );
  }

  /** Successive records of one kind. */
  async *while(kind: RecordKind): AsyncGenerator<PayloadRecord> {
    while ((await this.peek()).kind === kind) yield await this.next();
  }

  /** Takes the end and reads through to that of the stream, so that its checks are made. */
  async finish(): Promise<void> {
    await this.expect('end');
    if ((await this.#records.next()).done !== true)
      throw new ReplicationError('payload-invalid', 'Cannot apply a payload: records follow its end');
  }
}
