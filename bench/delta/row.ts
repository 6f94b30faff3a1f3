/** The rows of the comparison: what a tool did, what it cost, and whether what it rebuilt is the target. */

/** Names of rows in this program; ratios and aims refer to them. What people read is `rowTools`. */
export type RowId = keyof typeof rowTools;

export const rowTools = {
  'zstd-whole': 'whole, zstd -3',
  'zstd-whole-decode': 'zstd -d',
  'rsync-tree': 'rsync -az',
  'rsync-stream': 'rsync -z',
  rdiff: 'rdiff, delta zstd -3',
  'rdiff-patch': 'rdiff patch',
  xdelta3: 'xdelta3 -1',
  'xdelta3-decode': 'xdelta3 -d',
  'xdelta3-decode-tree': 'xdelta3 -d | tar -x',
  'zstd-patch': 'zstd -3 --patch-from',
  'zstd-patch-decode': 'zstd -d --patch-from',
  casync: 'casync, new chunks',
  'zstd-best': 'zstd -19 --patch-from',
  'zstd-best-decode': 'zstd -d --patch-from (19)',
  bsdiff: 'bsdiff',
  bspatch: 'bspatch',
  'file-xdelta3': 'xdelta3 -1',
  'file-xdelta3-decode': 'xdelta3 -d',
  'file-bsdiff': 'bsdiff',
  'file-bspatch': 'bspatch',
  'rdiff-signature': 'rdiff signature',
  'diff-fast': 'siteferry diff fast',
  'diff-default': 'siteferry diff default',
  'diff-best': 'siteferry diff best',
  'patch-fast': 'siteferry patch (fast)',
  'patch-default': 'siteferry patch (default)',
  'patch-best': 'siteferry patch (best)',
  'stream-diff-default': 'siteferry diff default',
  'stream-patch-default': 'siteferry patch (default)',
  'file-diff-default': 'siteferry diff default',
  'file-diff-best': 'siteferry diff best',
  'file-patch-default': 'siteferry patch (default)',
  'file-patch-best': 'siteferry patch (best)',
  'one-sided': 'siteferry signature + delta',
  'one-sided-patch': 'siteferry patch (one-sided)',
  signature: 'siteferry signature',
} as const;

/** What a process cost, with the children it waited for. `null`: this machine cannot tell. */
export interface Cost {
  readonly wallSeconds: number;
  /** User and system. */
  readonly cpuSeconds: number;
  readonly peakRssBytes: number | null;
}

/** `failed`: the tool ended badly. `wrong`: what it rebuilt is not the target. */
export type RowStatus = 'measured' | 'not-installed' | 'failed' | 'wrong';

/** What is needed to run it again. */
export interface FailedCommand {
  readonly command: string;
  readonly exitCode: number;
  /** The end of it. */
  readonly stderr: string;
}

export interface Row {
  readonly id: RowId;
  readonly tool: string;
  readonly job: string;
  readonly status: RowStatus;
  /** What must reach the holder of the basis, and for one-sided tools what must leave it; `null` where nothing travels. */
  readonly wireBytes: number | null;
  readonly wallSeconds: number | null;
  readonly cpuSeconds: number | null;
  readonly peakRssBytes: number | null;
  /** Of the rebuilt file, or of the rebuilt tree as `hashTree` sees it. */
  readonly outputSha256?: string;
  /** Why there is no measurement. */
  readonly note?: string;
  readonly failed?: FailedCommand;
  /** The comparison as a whole has failed: a wrong or missing result, or a failure of ours. */
  readonly isFault: boolean;
}

/** Whether the row is about Siteferry. */
export function isOurs(row: Pick<Row, 'tool'>): boolean {
  return row.tool.startsWith('siteferry ');
}

/** Costs of commands that run one after the other. The peak is that of the largest, unknown if one is unknown. */
export function sumCosts(costs: readonly Cost[]): Cost {
  const peaks = costs.map((cost) => cost.peakRssBytes);
  return {
    wallSeconds: costs.reduce((sum, cost) => sum + cost.wallSeconds, 0),
    cpuSeconds: costs.reduce((sum, cost) => sum + cost.cpuSeconds, 0),
    peakRssBytes: peaks.includes(null) ? null : Math.max(0, ...peaks.map((peak) => peak ?? 0)),
  };
}
