/** Ratios of our rows to the peers' rows of the same run: below 1 we are cheaper. */
import { type Row, type RowId, rowTools } from './row.ts';

type Measure = 'wireBytes' | 'cpuSeconds' | 'wallSeconds';

export interface RatioDefinition {
  readonly of: RowId;
  readonly to: RowId;
  readonly measure: Measure;
  /** In pairs of the other kind the two rows do different jobs, or are those of another ratio. */
  readonly kind?: 'folders' | 'files';
}

export const ratioDefinitions = {
  diffFastBytesPerRsyncTree: { of: 'diff-fast', to: 'rsync-tree', measure: 'wireBytes' },
  diffDefaultBytesPerRsyncTree: { of: 'diff-default', to: 'rsync-tree', measure: 'wireBytes' },
  diffBestBytesPerRsyncTree: { of: 'diff-best', to: 'rsync-tree', measure: 'wireBytes' },
  diffFastBytesPerXdelta3: { of: 'diff-fast', to: 'xdelta3', measure: 'wireBytes' },
  diffDefaultBytesPerXdelta3: { of: 'diff-default', to: 'xdelta3', measure: 'wireBytes' },
  diffBestBytesPerXdelta3: { of: 'diff-best', to: 'xdelta3', measure: 'wireBytes' },
  fileDiffDefaultBytesPerXdelta3: { of: 'file-diff-default', to: 'file-xdelta3', measure: 'wireBytes' },
  fileDiffDefaultBytesPerBsdiff: { of: 'file-diff-default', to: 'file-bsdiff', measure: 'wireBytes' },
  fileDiffBestBytesPerBsdiff: { of: 'file-diff-best', to: 'file-bsdiff', measure: 'wireBytes' },
  oneSidedBytesPerRsyncTree: { of: 'one-sided', to: 'rsync-tree', measure: 'wireBytes' },
  oneSidedBytesPerRdiff: { of: 'one-sided', to: 'rdiff', measure: 'wireBytes' },
  diffFastCpuPerXdelta3: { of: 'diff-fast', to: 'xdelta3', measure: 'cpuSeconds' },
  diffDefaultCpuPerXdelta3: { of: 'diff-default', to: 'xdelta3', measure: 'cpuSeconds' },
  diffBestCpuPerXdelta3: { of: 'diff-best', to: 'xdelta3', measure: 'cpuSeconds' },
  fileDiffDefaultCpuPerXdelta3: { of: 'file-diff-default', to: 'file-xdelta3', measure: 'cpuSeconds' },
  fileDiffDefaultCpuPerBsdiff: { of: 'file-diff-default', to: 'file-bsdiff', measure: 'cpuSeconds' },
  fileDiffBestCpuPerBsdiff: { of: 'file-diff-best', to: 'file-bsdiff', measure: 'cpuSeconds' },
  streamDiffDefaultBytesPerXdelta3: {
    of: 'stream-diff-default',
    to: 'xdelta3',
    measure: 'wireBytes',
    kind: 'folders',
  },
  streamDiffDefaultCpuPerXdelta3: { of: 'stream-diff-default', to: 'xdelta3', measure: 'cpuSeconds', kind: 'folders' },
  patchDefaultWallPerXdelta3Decode: { of: 'stream-patch-default', to: 'xdelta3-decode', measure: 'wallSeconds' },
  patchFastWallPerXdelta3Decode: { of: 'patch-fast', to: 'xdelta3-decode', measure: 'wallSeconds', kind: 'files' },
  patchBestWallPerXdelta3Decode: { of: 'patch-best', to: 'xdelta3-decode', measure: 'wallSeconds', kind: 'files' },
  patchTreeWallPerXdelta3DecodeTree: { of: 'patch-default', to: 'xdelta3-decode-tree', measure: 'wallSeconds' },
  patchTreeFastWallPerXdelta3DecodeTree: { of: 'patch-fast', to: 'xdelta3-decode-tree', measure: 'wallSeconds' },
  patchTreeBestWallPerXdelta3DecodeTree: { of: 'patch-best', to: 'xdelta3-decode-tree', measure: 'wallSeconds' },
  signatureWallPerRdiff: { of: 'signature', to: 'rdiff-signature', measure: 'wallSeconds' },
  signatureCpuPerRdiff: { of: 'signature', to: 'rdiff-signature', measure: 'cpuSeconds' },
} as const satisfies Record<string, RatioDefinition>;

export type RatioName = keyof typeof ratioDefinitions;
export type Ratios = Readonly<Partial<Record<RatioName, number>>>;

export const ratioNames = Object.keys(ratioDefinitions) as readonly RatioName[];

/** `time` counts in hundredths of a second: dividing by less than this says nothing. */
const secondsMin = 0.05;

/**
 * Every ratio of which both sides were measured and neither is too small to divide by. In a pair of files the whole is
 * the file: its rows stand for those of "the largest file" and of the tar.
 */
export function computeRatios(rows: readonly Row[], kind: 'folders' | 'files'): Ratios {
  const find = (id: RowId): Row | undefined => {
    const wanted = kind === 'files' ? wholeFileRows[id] : undefined;
    return rows.find((row) => row.status === 'measured' && row.id === (wanted ?? id));
  };
  const ratios: Partial<Record<RatioName, number>> = {};
  for (const name of ratioNames) {
    const { of, to, measure, kind: onlyKind = kind }: RatioDefinition = ratioDefinitions[name];
    if (onlyKind !== kind) continue;
    const above = find(of)?.[measure] ?? null;
    const below = find(to)?.[measure] ?? null;
    if (above === null || below === null || below < (measure === 'wireBytes' ? 1 : secondsMin)) continue;
    ratios[name] = above / below;
  }
  return ratios;
}

const wholeFileRows: Readonly<Partial<Record<RowId, RowId>>> = {
  'file-diff-default': 'diff-default',
  'file-diff-best': 'diff-best',
  'file-xdelta3': 'xdelta3',
  'stream-patch-default': 'patch-default',
};

const measureNames: Readonly<Record<Measure, string>> = {
  wireBytes: 'wire',
  cpuSeconds: 'CPU',
  wallSeconds: 'wall',
};

/** Such as `siteferry diff default, wire ÷ xdelta3 -1`. */
export function describeRatio(name: RatioName): string {
  const { of, to, measure }: RatioDefinition = ratioDefinitions[name];
  const where = of.startsWith('file-') ? ', largest file' : of.startsWith('stream-') ? ', tar' : '';
  return `${rowTools[of]}${where}: ${measureNames[measure]} ÷ ${rowTools[to]}`;
}
