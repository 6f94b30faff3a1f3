/** What the demo found, as one table and as one JSON document. */
import { formatBytes, formatPercent } from '../../model/units.ts';
import type { HopMessage } from '../../wire/api.ts';
import { renderTable } from '../table.ts';

/** One hop of one version. What a kill took with it is `null`: the journey itself is proved by the verification. */
export interface Hop {
  readonly from: string;
  readonly to: string;
  readonly version: number;
  readonly mechanisms: HopMessage['mechanisms'] | null;
  readonly logicalBytes: number;
  readonly wireBytes: number | null;
  readonly seconds: number | null;
  /** Every file of this version at `to` has the SHA-256 it has in the source folder. */
  readonly verified: boolean;
}

export interface DemoReport {
  readonly package: string;
  readonly pair: { readonly basis: string; readonly target: string };
  readonly hops: readonly Hop[];
  readonly restarts: number;
  readonly seconds: number;
  /** The nodes' processes, when they were left running. */
  readonly pids?: Readonly<Record<string, number>>;
}

const unknown = '–';

export function isAllVerified(report: DemoReport): boolean {
  return report.hops.length > 0 && report.hops.every((hop) => hop.verified);
}

/**
 * What a hop cost, or `null` when its record cannot be the whole truth: the payload itself travelled, so a count below
 * its size was begun anew after a kill. Publishing it would claim a saving that never was.
 */
export function knownWireBytes(record: Pick<HopMessage, 'wireBytes' | 'payloadBytes'> | undefined): number | null {
  return record === undefined || record.wireBytes < record.payloadBytes ? null : record.wireBytes;
}

/** Part of `logicalBytes` that did not have to travel; 0 when as much or more did. */
export function savingOf(logicalBytes: number, wireBytes: number): number {
  return logicalBytes === 0 ? 0 : Math.max(0, 1 - wireBytes / logicalBytes);
}

/** Such as `diff 12`: contents by the way they went, without those that were there already. */
export function describeMechanisms(mechanisms: Hop['mechanisms']): string {
  if (mechanisms === null) return unknown;
  const ways = (['diff', 'whole'] as const).filter((way) => mechanisms[way].contents > 0);
  if (ways.length === 0) return 'all present';
  return ways.map((way) => `${way} ${shortCount(mechanisms[way].contents)}`).join(' ');
}

/** At most three digits, so that the table keeps its width: `12k`, `3M`. */
function shortCount(count: number): string {
  if (count < 1_000) return String(count);
  return count < 999_500 ? `${Math.round(count / 1_000)}k` : `${Math.round(count / 1_000_000)}M`;
}

/** At most 100 columns wide. */
export function renderReport(report: DemoReport): string {
  const table = renderTable({
    head: ['hop', 'ver', 'mechanism', 'logical', 'wire', 'saving', 'seconds', 'verified'],
    rows: report.hops.map((hop) => [
      `${hop.from} → ${hop.to}`,
      String(hop.version),
      describeMechanisms(hop.mechanisms),
      formatBytes(hop.logicalBytes),
      hop.wireBytes === null ? unknown : formatBytes(hop.wireBytes),
      hop.wireBytes === null ? unknown : formatPercent(savingOf(hop.logicalBytes, hop.wireBytes)),
      hop.seconds === null ? unknown : hop.seconds.toFixed(2),
      hop.verified ? 'yes' : 'NO',
    ]),
    rightColumns: [1, 3, 4, 5, 6],
    hasLines: true,
  });
  return `${table}\n${closingSentence(report)}`;
}

export function closingSentence(report: DemoReport): string {
  if (!isAllVerified(report)) return 'VERIFICATION FAILED: what a node serves is not what was published.';
  return ['All files of both versions are verified at all four nodes.', costOfUpdate(report), aboutRestarts(report)]
    .filter((sentence) => sentence !== '')
    .join(' ');
}

/** Nothing when a hop's cost is not known: a sum with a guess in it is no measurement. */
function costOfUpdate({ hops }: DemoReport): string {
  const update = hops.filter((hop) => hop.version === 2);
  if (update.some((hop) => hop.wireBytes === null)) return '';
  const logicalBytes = update.reduce((sum, hop) => sum + hop.logicalBytes, 0);
  const wireBytes = update.reduce((sum, hop) => sum + (hop.wireBytes ?? 0), 0);
  const saving = formatPercent(savingOf(logicalBytes, wireBytes));
  return `The update needed ${formatBytes(wireBytes)} for ${formatBytes(logicalBytes)} over ${update.length} hops: ${saving} saved.`;
}

function aboutRestarts({ restarts }: DemoReport): string {
  if (restarts === 0) return '';
  return `Nodes were started again ${restarts} times on the way; bytes sent just before a kill may be missing in "wire".`;
}
