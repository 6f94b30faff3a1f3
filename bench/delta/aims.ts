/**
 * What the delta engine aims at, as data; every aim is an upper limit on a number of one run. Speeds are turned over:
 * "twice the speed of `xdelta3 -d`" is here "at most half of its time".
 *
 * Not here: the cut points in WASM SIMD against the scalar loop (a kernel, measured in native-free-rdc), and manifests
 * that travel as deltas (a property, tested in the engine).
 */
import type { RatioName, Ratios } from './ratios.ts';

/** Numbers that are no ratio of two rows. */
export type OtherMetric = 'peakRssBytesOfOurs' | 'adversarialCpuMaxPerRandom' | 'growthMaxPerMin';
export type Metric = RatioName | OtherMetric;
export type Metrics = Ratios & Readonly<Partial<Record<OtherMetric, number>>>;

export interface Aim {
  readonly name: string;
  readonly metric: Metric;
  readonly atMost: number;
  readonly stretch?: number;
  /** Pairs by name; all when absent. */
  readonly pairs?: readonly string[];
  readonly kind?: 'folders' | 'files';
  /** Pairs whose target has at least as many bytes. */
  readonly targetBytesMin?: number;
}

const MiB = 1024 * 1024;

export const pairAims: readonly Aim[] = [
  {
    name: 'diff default: wire ÷ rsync -az',
    metric: 'diffDefaultBytesPerRsyncTree',
    atMost: 0.17,
    stretch: 0.12,
    pairs: ['node'],
  },
  { name: 'diff default: wire ÷ rsync -az', metric: 'diffDefaultBytesPerRsyncTree', atMost: 0.15, pairs: ['swc'] },
  { name: 'diff default: wire ÷ rsync -az', metric: 'diffDefaultBytesPerRsyncTree', atMost: 0.2, pairs: ['kernel'] },
  {
    name: 'diff default: wire ÷ rsync -az',
    metric: 'diffDefaultBytesPerRsyncTree',
    atMost: 0.03,
    pairs: ['typescript'],
  },
  {
    name: 'diff default: wire ÷ xdelta3 -1',
    metric: 'diffDefaultBytesPerXdelta3',
    atMost: 0.45,
    stretch: 0.3,
    pairs: ['node'],
  },
  { name: 'diff default: wire ÷ xdelta3 -1', metric: 'diffDefaultBytesPerXdelta3', atMost: 0.25, pairs: ['swc'] },
  {
    name: 'diff default, largest file: wire ÷ bsdiff',
    metric: 'fileDiffDefaultBytesPerBsdiff',
    atMost: 1.3,
    stretch: 1.1,
    pairs: ['node'],
  },
  {
    name: 'diff default, largest file: CPU ÷ bsdiff',
    metric: 'fileDiffDefaultCpuPerBsdiff',
    atMost: 1 / 25,
    pairs: ['node'],
  },
  {
    name: 'diff best, largest file: wire ÷ bsdiff',
    metric: 'fileDiffBestBytesPerBsdiff',
    atMost: 1.1,
    stretch: 0.9,
    pairs: ['node'],
  },
  { name: 'diff best, largest file: CPU ÷ bsdiff', metric: 'fileDiffBestCpuPerBsdiff', atMost: 1 / 5, pairs: ['node'] },
  {
    name: 'diff default: CPU ÷ xdelta3 -1',
    metric: 'diffDefaultCpuPerXdelta3',
    atMost: 1,
    stretch: 0.5,
    targetBytesMin: 50_000_000,
  },
  { name: 'peak RSS of ours, bytes', metric: 'peakRssBytesOfOurs', atMost: 256 * MiB, stretch: 192 * MiB },
  {
    name: 'one-sided, whole exchange: wire ÷ rsync -az',
    metric: 'oneSidedBytesPerRsyncTree',
    atMost: 0.95,
    stretch: 0.85,
    pairs: ['node', 'swc'],
  },
  {
    name: 'one-sided, whole exchange: wire ÷ rsync -az',
    metric: 'oneSidedBytesPerRsyncTree',
    atMost: 0.33,
    stretch: 0.28,
    pairs: ['kernel'],
  },
  {
    name: 'patch of one file, verified: wall ÷ xdelta3 -d',
    metric: 'patchDefaultWallPerXdelta3Decode',
    atMost: 1 / 2,
    stretch: 1 / 4,
  },
  {
    name: 'patch of a tree, verified and durable: wall ÷ xdelta3 -d | tar -x',
    metric: 'patchTreeWallPerXdelta3DecodeTree',
    atMost: 1 / 2,
    kind: 'folders',
  },
];

export const signatureAims: readonly Aim[] = [
  { name: 'signature: wall ÷ rdiff signature', metric: 'signatureWallPerRdiff', atMost: 1 / 2, stretch: 1 / 3.5 },
  { name: 'peak RSS of ours, bytes', metric: 'peakRssBytesOfOurs', atMost: 256 * MiB, stretch: 192 * MiB },
];

export const adversarialAims: readonly Aim[] = [
  { name: 'worst case: CPU ÷ random data', metric: 'adversarialCpuMaxPerRandom', atMost: 3 },
  { name: 'peak RSS of ours, bytes', metric: 'peakRssBytesOfOurs', atMost: 256 * MiB, stretch: 192 * MiB },
];

export const growthAims: readonly Aim[] = [
  { name: 'seconds per GB: most ÷ least', metric: 'growthMaxPerMin', atMost: 1.15 },
  { name: 'peak RSS of ours, bytes', metric: 'peakRssBytesOfOurs', atMost: 256 * MiB, stretch: 192 * MiB },
];

export interface AimResult {
  readonly name: string;
  readonly metric: Metric;
  /** Upper limit. */
  readonly aim: number;
  readonly stretch?: number;
  /** `null`: a side of it was not measured in this run. */
  readonly measured: number | null;
  readonly met: boolean | null;
  readonly stretchMet?: boolean | null;
}

export interface AimedPair {
  readonly name: string;
  readonly kind: 'folders' | 'files';
  readonly targetBytes: number;
}

/** The aims that concern a pair; without one, those that concern every pair. */
export function evaluateAims(aims: readonly Aim[], metrics: Metrics, pair?: AimedPair): AimResult[] {
  return aims
    .filter((aim) => concerns(aim, pair))
    .map(({ name, metric, atMost, stretch }) => {
      const measured = metrics[metric] ?? null;
      const isAtMost = (limit: number): boolean | null => (measured === null ? null : measured <= limit);
      return {
        name,
        metric,
        aim: atMost,
        measured,
        met: isAtMost(atMost),
        ...(stretch === undefined ? {} : { stretch, stretchMet: isAtMost(stretch) }),
      };
    });
}

function concerns({ pairs, kind, targetBytesMin = 0 }: Aim, pair: AimedPair | undefined): boolean {
  if (pair === undefined) return pairs === undefined && kind === undefined && targetBytesMin === 0;
  if (kind !== undefined && kind !== pair.kind) return false;
  return pair.targetBytes >= targetBytesMin && pairs?.includes(pair.name) !== false;
}
