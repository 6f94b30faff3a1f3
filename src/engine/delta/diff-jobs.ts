/** Making and applying deltas spread over threads: the pure pieces of the library as jobs. */
import {
  type ApplyJobs,
  type BlockScan,
  type DiffJobs,
  type DiffSegment,
  diffSegment,
  RdcError,
  type RdcErrorCode,
  rebuildSegment,
  type ScanOrder,
  type SegmentInput,
  type SegmentParts,
  scanBlock,
  type WorkAhead,
} from 'native-free-rdc';
import type { AnyJob, Job, Threads } from '../../world/threads.ts';

interface ScanInput {
  readonly block: Uint8Array;
  readonly order: ScanOrder;
}

const scanJob: Job<ScanInput, BlockScan> = {
  name: 'diff.scan',
  run: ({ block, order }) => scanBlock(block, order),
};

const segmentJob: Job<SegmentInput, DiffSegment> = {
  name: 'diff.segment',
  run: diffSegment,
};

/** A fault of the delta is data: an error that crosses to another thread loses its class. */
type Rebuilt =
  | { readonly kind: 'done'; readonly target: Uint8Array }
  | { readonly kind: 'fault'; readonly code: RdcErrorCode; readonly message: string };

const rebuildJob: Job<SegmentParts, Rebuilt> = {
  name: 'delta.rebuild',
  run: async (parts) => {
    try {
      return { kind: 'done', target: await rebuildSegment(parts) };
    } catch (error) {
      if (!(error instanceof RdcError)) throw error;
      return { kind: 'fault', code: error.code, message: error.message };
    }
  },
};

/** What `src/worker.ts` must know. */
export const diffJobList: readonly AnyJob[] = [scanJob, segmentJob, rebuildJob];

/** The work of one diff on these threads. What they look at is shared with them, not copied. */
export function diffJobsOn(threads: Threads, signal: AbortSignal): DiffJobs {
  return {
    scanBlock: (block, order) => threads.run(scanJob, { block, order }, { signal }),
    diffSegment: (input) => threads.run(segmentJob, input, { signal }),
    ...sharedWith(threads),
  };
}

/** The work of applying one delta on these threads. */
export function applyJobsOn(threads: Threads, signal: AbortSignal): ApplyJobs {
  return {
    async rebuildSegment(parts) {
      const rebuilt = await threads.run(rebuildJob, parts, { signal });
      if (rebuilt.kind === 'fault') throw new RdcError(rebuilt.code, rebuilt.message);
      return rebuilt.target;
    },
    ...sharedWith(threads),
  };
}

function sharedWith(threads: Threads): WorkAhead {
  return {
    aheadCount: threads.threadCount + 1,
    allocate: (bytes) => new Uint8Array(new SharedArrayBuffer(bytes)),
  };
}
