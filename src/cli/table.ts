/** Tables for people: aligned columns without lines for lists, with lines for what is meant to be shown around. */
import Table from 'cli-table3';

export interface TableOptions {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** Columns of numbers, by index: aligned to the right. */
  readonly rightColumns?: readonly number[];
  readonly hasLines?: boolean;
}

const noLines = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
};

/** Without colours and without a line break at the end; never wraps: the caller keeps cells short. */
export function renderTable({ head, rows, rightColumns = [], hasLines = false }: TableOptions): string {
  const colAligns = head.map((_, index) => (rightColumns.includes(index) ? 'right' : 'left'));
  const style = { head: [], border: [], compact: true, ...(hasLines ? {} : { 'padding-left': 0, 'padding-right': 0 }) };
  const table = new Table({ head: [...head], colAligns, style, ...(hasLines ? {} : { chars: noLines }) });
  for (const row of rows) table.push([...row]);
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

/** One `name  value` per line. */
export function renderFields(fields: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(0, ...fields.map(([name]) => name.length));
  return fields.map(([name, value]) => `${name.padEnd(width)}  ${value}`.trimEnd()).join('\n');
}
