/** Rows as a run would give them, for tests of what is computed from rows. */
import { type Row, type RowId, rowTools } from '../../bench/delta/row.ts';

export function rowOf(id: RowId, facts: Partial<Row> = {}): Row {
  return {
    id,
    tool: rowTools[id],
    job: 'tree',
    status: 'measured',
    wireBytes: 1_000,
    wallSeconds: 1,
    cpuSeconds: 1,
    peakRssBytes: 1024 * 1024,
    isFault: false,
    ...facts,
  };
}
