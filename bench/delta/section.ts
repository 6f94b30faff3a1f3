/** One part of the document: rows, the ratios between them, and which aims they meet. */
import { type Aim, type AimedPair, type AimResult, evaluateAims, type Metrics } from './aims.ts';
import { computeRatios, type Ratios } from './ratios.ts';
import { isOurs, type Row } from './row.ts';

export interface Section {
  readonly rows: readonly Row[];
  readonly ratios: Ratios;
  readonly aims: readonly AimResult[];
}

export interface SectionParts {
  readonly rows: readonly Row[];
  readonly aims: readonly Aim[];
  /** Beyond those that follow from the rows. */
  readonly metrics?: Metrics;
  /** What aims for certain pairs look at. */
  readonly pair?: AimedPair;
}

export function sectionOf({ rows, aims, metrics = {}, pair }: SectionParts): Section {
  const ratios = computeRatios(rows, pair?.kind ?? 'folders');
  return { rows, ratios, aims: evaluateAims(aims, { ...ratios, ...peakOf(rows), ...metrics }, pair) };
}

/** The largest of our processes; nothing when none was measured. */
function peakOf(rows: readonly Row[]): Metrics {
  const peaks = rows.filter(isOurs).flatMap((row) => row.peakRssBytes ?? []);
  return peaks.length === 0 ? {} : { peakRssBytesOfOurs: Math.max(...peaks) };
}
