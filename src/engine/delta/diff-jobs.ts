/** The two-sided diff spread over threads: its pure pieces as jobs. */
import {
  type Anchors,
  anchorsOf,
  type DiffJobs,
  type DiffSegment,
  diffSegment,
  type SegmentInput,
} from 'native-free-rdc';
import type { AnyJob, Job, Threads } from '../../world/threads.ts';

interface AnchorsInput {
  readonly block: Uint8Array;
  readonly rateLog: number;
}

const anchorsJob: Job<AnchorsInput, Anchors> = {
  name: 'diff.anchors',
  run: ({ block, rateLog }) => anchorsOf(block, rateLog),
};

const segmentJob: Job<SegmentInput, DiffSegment> = {
  name: 'diff.segment',
  run: diffSegment,
};

/** What `src/worker.ts` must know. */
export const diffJobList: readonly AnyJob[] = [anchorsJob, segmentJob];

/** The work of one diff on these threads. What they look at is shared with them, not copied. */
export function diffJobsOn(threads: Threads, signal: AbortSignal): DiffJobs {
  return {
    anchorsOf: (block, rateLog) => threads.run(anchorsJob, { block, rateLog }, { signal }),
    diffSegment: (input) => threads.run(segmentJob, input, { signal }),
    aheadCount: threads.threadCount + 1,
    allocate: (bytes) => new Uint8Array(new SharedArrayBuffer(bytes)),
  };
}
