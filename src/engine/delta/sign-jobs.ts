/** A signature spread over threads: its spans as jobs, read here, signed there, joined here. */
import {
  type BasisReader,
  joinSpans,
  type Signature,
  type Span,
  type SpanOptions,
  type SpanSignature,
  signSpan,
  spanInputOf,
  spansOf,
} from 'native-free-rdc';
import { ReplicationError } from '../../errors.ts';
import type { AnyJob, Job, Threads } from '../../world/threads.ts';
import { mapAhead } from './map-ahead.ts';

/** What one job signs: long beside what posting it costs, short beside what memory there is. A multiple of 4 MiB. */
const spanBytes = 4 * 1024 * 1024;

interface SpanInput {
  /** The bytes of `spanInputOf(span, options)`, in shared memory. */
  readonly bytes: Uint8Array;
  readonly span: Span;
  readonly options: SpanOptions;
}

const spanJob: Job<SpanInput, SpanSignature> = {
  name: 'signature.span',
  run: ({ bytes, span, options }) => signSpan(bytes, span, options),
};

/** What `src/worker.ts` must know. */
export const signJobList: readonly AnyJob[] = [spanJob];

/**
 * The signature that `createSignature` makes of `basis`, on these threads. Holds two spans more than there are
 * threads, shared with them, not copied: one waits while the other is read. `source-changed` if the basis ends early.
 */
export async function signOn(
  threads: Threads,
  basis: BasisReader,
  given: { readonly salt: Uint8Array; readonly signal: AbortSignal },
): Promise<Signature> {
  const { salt, signal } = given;
  const options: SpanOptions = { fileBytes: basis.bytes, salt };
  const spans = spansOf(basis.bytes, spanBytes);
  const rooms: Uint8Array[] = [];
  const sign = async (span: Span): Promise<SpanSignature> => {
    const { startByte, endByte } = spanInputOf(span, options);
    const room = rooms.pop() ?? new Uint8Array(new SharedArrayBuffer(roomBytesFor(spans, options)));
    const bytes = room.subarray(0, endByte - startByte);
    if ((await basis.read(startByte, bytes)) !== bytes.length)
      throw new ReplicationError('source-changed', `Cannot sign: the file ends before byte ${endByte}`);
    const part = await threads.run(spanJob, { bytes, span, options }, { signal });
    rooms.push(room);
    return part;
  };
  return await joinSpans(mapAhead(spans, threads.threadCount + 2, sign), basis, options);
}

/** The first span that has all its context needs the most room; any other fits in the same. */
function roomBytesFor(spans: readonly Span[], options: SpanOptions): number {
  const sizes = spans.slice(0, 2).map((span) => {
    const { startByte, endByte } = spanInputOf(span, options);
    return endByte - startByte;
  });
  return Math.max(...sizes);
}
