/** How the comparison is printed: for machines as one document, for people as tables. */
import { renderTable } from '../../src/cli/table.ts';
import { formatBytes } from '../../src/model/units.ts';
import type { AdversarialFacts } from './adversarial.ts';
import type { AimResult } from './aims.ts';
import type { GrowthFacts } from './growth.ts';
import { describeRatio, type RatioName, ratioNames } from './ratios.ts';
import type { Row } from './row.ts';
import type { Section } from './section.ts';

export interface PairReport extends Section {
  readonly name: string;
  readonly kind: 'folders' | 'files';
  readonly targetBytes: number;
  readonly files: number;
}

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly platform: string;
  readonly node: string;
  /** Of the checkout, with `+` when there are changes; `unknown` outside one. */
  readonly commit: string;
}

export interface BenchDocument {
  /** Every rebuilt target is the target and no command of ours failed; aims may be missed. */
  readonly ok: boolean;
  readonly measuredBy: string;
  readonly machine: Machine;
  /** Versions of the other tools that are here. */
  readonly tools: Readonly<Record<string, string>>;
  readonly pairs: readonly PairReport[];
  readonly signature?: Section & { readonly bytes: number };
  readonly adversarial?: Section & AdversarialFacts;
  readonly growth?: Section & GrowthFacts;
}

const unknown = '–';
/** Enough of a checksum to tell two apart. */
const shownHashLength = 12;

export function renderHead({ machine, measuredBy, tools }: Omit<BenchDocument, 'ok' | 'pairs'>): string {
  const { cpu, cores, memoryBytes, platform, node, commit } = machine;
  const versions = Object.entries(tools).map(([name, version]) => `${name} ${version}`);
  return [
    `commit ${commit}, Node ${node}, ${platform}, ${cores} × ${cpu}, ${formatBytes(memoryBytes)}`,
    `measured by ${measuredBy}`,
    `other tools: ${versions.join(', ') || 'none'}`,
  ].join('\n');
}

export function renderPair(pair: PairReport): string {
  const title = `${pair.name}: ${pair.kind}, target ${formatBytes(pair.targetBytes)} in ${pair.files} files`;
  return renderSection(title, pair);
}

/** Rows, then ratios and aims. */
export function renderSection(title: string, section: Section): string {
  const rows = renderTable({
    head: ['tool', 'job', 'wire', 'wall s', 'CPU s', 'peak RSS', 'target SHA-256'],
    rows: section.rows.map(rowCells),
    rightColumns: [2, 3, 4, 5],
    hasLines: true,
  });
  const aims = aimCells(section);
  if (aims.length === 0) return `${title}\n${rows}`;
  const head = ['ratio', 'measured', 'aim', 'stretch', 'met'];
  return `${title}\n${rows}\n${renderTable({ head, rows: aims, rightColumns: [1, 2, 3], hasLines: true })}`;
}

export function rowCells(row: Row): string[] {
  const number = (value: number | null): string => (value === null ? unknown : value.toFixed(2));
  const size = (value: number | null): string => (value === null ? unknown : formatBytes(value));
  return [
    row.tool,
    row.job,
    size(row.wireBytes),
    number(row.wallSeconds),
    number(row.cpuSeconds),
    size(row.peakRssBytes),
    outcomeOf(row),
  ];
}

/** The checksum, or why there is none. */
function outcomeOf({ status, outputSha256, note }: Row): string {
  const shown = outputSha256?.slice(0, shownHashLength) ?? unknown;
  switch (status) {
    case 'measured':
      return shown;
    case 'wrong':
      return `WRONG: ${shown}, ${note ?? ''}`;
    case 'failed':
      return `FAILED: ${note ?? ''}`;
    case 'not-installed':
      return note ?? 'not installed';
  }
}

/** Aims first as they come, then the ratios nobody aims at. */
function aimCells({ ratios, aims }: Section): string[][] {
  const aimedAt = new Set<string>(aims.map((aim) => aim.metric));
  const others = ratioNames.filter((name) => ratios[name] !== undefined && !aimedAt.has(name));
  return [
    ...aims.map((aim) => [
      aim.name,
      shownNumber(aim.measured, aim),
      `≤ ${shownNumber(aim.aim, aim)}`,
      aim.stretch === undefined ? '' : `≤ ${shownNumber(aim.stretch, aim)}`,
      verdictOf(aim),
    ]),
    ...others.map((name) => [describeRatio(name), shownRatio(ratios, name), '', '', '']),
  ];
}

function shownRatio(ratios: Section['ratios'], name: RatioName): string {
  const ratio = ratios[name];
  return ratio === undefined ? unknown : ratio.toPrecision(3);
}

function shownNumber(value: number | null, { metric }: AimResult): string {
  if (value === null) return unknown;
  return metric === 'peakRssBytesOfOurs' ? formatBytes(value) : value.toPrecision(3);
}

function verdictOf({ met, stretchMet }: AimResult): string {
  if (met === null) return 'not measured';
  if (!met) return 'NO';
  return stretchMet === true ? 'yes, stretch too' : 'yes';
}

/** What follows the pairs. */
export function renderExtras({ signature, adversarial, growth }: BenchDocument): string[] {
  const parts: string[] = [];
  if (signature !== undefined) {
    parts.push(renderSection(`signature of one random file of ${formatBytes(signature.bytes)}`, signature));
  }
  if (adversarial !== undefined) {
    parts.push(renderSection(`adversarial inputs of ${formatBytes(adversarial.bytes)} a side`, adversarial));
    const rows = Object.entries(adversarial.cpuPerRandom).map(([name, ratio]) => [name, ratio.toPrecision(3)]);
    if (rows.length > 0)
      parts.push(renderTable({ head: ['case', 'CPU ÷ random'], rows, rightColumns: [1], hasLines: true }));
  }
  if (growth !== undefined) {
    parts.push(renderSection(`cost growth, measured by ${growth.measuredBy}`, growth));
    const rows = growth.points.map((point) =>
      [point.gigabytes, point.cpuSecondsPerGb, point.wallSecondsPerGb].map((value) => value.toPrecision(3)),
    );
    const head = ['GB', 'CPU s per GB', 'wall s per GB'];
    if (rows.length > 0) parts.push(renderTable({ head, rows, rightColumns: [0, 1, 2], hasLines: true }));
  }
  return parts;
}

/** Which rows make the comparison fail, each with the command that failed, where one did, in lines of their own. */
export function faultLines({ pairs, signature, adversarial, growth }: BenchDocument): string[] {
  const sections: readonly (readonly [string, Section | undefined])[] = [
    ...pairs.map((pair) => [pair.name, pair] as const),
    ['signature', signature],
    ['adversarial', adversarial],
    ['growth', growth],
  ];
  return sections.flatMap(([name, section]) =>
    (section?.rows ?? [])
      .filter((row) => row.isFault)
      .map((row) => [`${name}: ${row.tool}, ${row.job}: ${outcomeOf(row)}`, ...failedLines(row)].join('\n')),
  );
}

function failedLines({ failed }: Row): string[] {
  if (failed === undefined) return [];
  const { command, exitCode, stderr } = failed;
  const said = stderr === '' ? ['nothing on stderr'] : stderr.split('\n').map((line) => `stderr: ${line}`);
  return [`command: ${command}`, `exit status: ${exitCode}`, ...said].map((line) => `  ${line}`);
}
