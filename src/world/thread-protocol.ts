/**
 * What crosses the border between the main thread and a worker, and the worker's side of it.
 *
 * A worker serves one request at a time and never fails for a job's sake: what a job throws travels back as data. Only
 * a crash of the worker itself (no memory, a module that does not load) shows in the pool as its exit.
 */
import { isMainThread, parentPort, type Transferable } from 'node:worker_threads';
import { type ErrorCode, ReplicationError, type RetryVerdict } from '../errors.ts';
import type { AnyJob } from './threads.ts';

export interface ThreadRequest {
  readonly jobName: string;
  readonly input: unknown;
}

export type ThreadReply =
  | { readonly kind: 'output'; readonly output: unknown }
  | { readonly kind: 'error'; readonly error: ThreadError };

/** An error as plain data: structured cloning would strip ours of code and verdict. */
export type ThreadError =
  | {
      readonly kind: 'ours';
      readonly code: ErrorCode;
      readonly message: string;
      readonly retry: RetryVerdict;
      readonly hint: string | undefined;
    }
  | { readonly kind: 'other'; readonly name: string; readonly message: string; readonly stack: string | undefined };

/** In a worker: answers requests for these jobs for as long as the worker lives. Throws when called elsewhere. */
export function serveJobs(jobs: readonly AnyJob[]): void {
  const port = parentPort;
  if (isMainThread || port === null) throw new TypeError('serveJobs() is for a worker thread');
  const byName = new Map(jobs.map((job) => [job.name, job]));
  if (byName.size !== jobs.length) throw new TypeError('two jobs have the same name');
  const answer = async (request: ThreadRequest): Promise<void> => {
    const reply = await serve(byName, request);
    try {
      port.postMessage(reply, reply.kind === 'output' ? transferable(reply.output) : []);
    } catch (error) {
      // An output that cannot be cloned is a mistake in the job.
      port.postMessage({ kind: 'error', error: packError(error) } satisfies ThreadReply);
    }
  };
  // The pool posts the next request when it has this one's reply, so jobs that wait do not overlap either.
  port.on('message', (request: ThreadRequest) => void answer(request));
}

async function serve(byName: ReadonlyMap<string, AnyJob>, request: ThreadRequest): Promise<ThreadReply> {
  try {
    const job = byName.get(request.jobName);
    if (job === undefined) throw new TypeError(`the worker knows no job ${request.jobName}`);
    // The pairing of job and input was checked by `Threads.run`.
    return { kind: 'output', output: await job.run(request.input as never) };
  } catch (error) {
    return { kind: 'error', error: packError(error) };
  }
}

/**
 * Buffers of an output that can change hands instead of being copied: those of byte arrays that fill them, found in the
 * output itself or one level down. A view of something larger (a pool, WebAssembly's memory) is copied.
 */
function transferable(output: unknown): Transferable[] {
  const isPlain = typeof output === 'object' && output !== null && !ArrayBuffer.isView(output);
  const candidates = isPlain ? Object.values(output) : [output];
  const buffers = candidates.flatMap((candidate) => {
    if (!(candidate instanceof Uint8Array) || !(candidate.buffer instanceof ArrayBuffer)) return [];
    return candidate.byteLength === candidate.buffer.byteLength ? [candidate.buffer] : [];
  });
  return [...new Set(buffers)];
}

function packError(error: unknown): ThreadError {
  if (error instanceof ReplicationError) {
    const { code, message, retry, hint } = error;
    return { kind: 'ours', code, message, retry, hint };
  }
  if (error instanceof Error) {
    return { kind: 'other', name: error.name, message: error.message, stack: error.stack };
  }
  return { kind: 'other', name: 'Error', message: String(error), stack: undefined };
}

/** The error as it was thrown, as nearly as data can carry it. */
export function unpackError(packed: ThreadError): Error {
  if (packed.kind === 'ours') {
    const { code, message, retry, hint } = packed;
    return new ReplicationError(code, message, hint === undefined ? { retry } : { retry, hint });
  }
  const error = BUILT_IN[packed.name]?.(packed.message) ?? new Error(packed.message);
  error.name = packed.name;
  if (packed.stack !== undefined) error.stack = packed.stack;
  return error;
}

/** The errors that mean a mistake of the calling code keep their class. */
const BUILT_IN: Readonly<Record<string, (message: string) => Error>> = {
  TypeError: (message) => new TypeError(message),
  RangeError: (message) => new RangeError(message),
};
