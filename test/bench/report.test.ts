import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cpuPerRandom } from '../../bench/delta/adversarial.ts';
import { pairAims } from '../../bench/delta/aims.ts';
import { growthPoints, growthSizes } from '../../bench/delta/growth.ts';
import { faultLines, renderPair, rowCells } from '../../bench/delta/report.ts';
import { sectionOf } from '../../bench/delta/section.ts';
import { rowOf } from './rows.ts';

const rows = [
  rowOf('rsync-tree', { wireBytes: 100 * 1024, outputSha256: 'ab'.repeat(32) }),
  rowOf('xdelta3', { status: 'not-installed', wireBytes: null, note: 'xdelta3 not installed: apt install xdelta3' }),
  rowOf('diff-default', { wireBytes: 2 * 1024, cpuSeconds: 0.126 }),
];
const pair = { name: 'typescript', kind: 'folders', targetBytes: 3 * 1024 * 1024, files: 130 } as const;
const report = { ...pair, ...sectionOf({ rows, aims: pairAims, pair }) };

test('renderPair() shows rows, checksums, ratios and aims', () => {
  const text = renderPair(report);
  const line = (start: string): string => {
    const found = text.split('\n').find((one) => one.startsWith(`│ ${start}`)) ?? '';
    return found.replaceAll(/\s*│\s*/g, '|');
  };
  assert.match(text, /^typescript: folders, target 3\.0 MiB in 130 files\n/);
  assert.equal(line('rsync -az'), '|rsync -az|tree|100.0 KiB|1.00|1.00|1.0 MiB|abababababab|');
  assert.equal(line('siteferry diff default '), '|siteferry diff default|tree|2.0 KiB|1.00|0.13|1.0 MiB|–|');
  assert.match(line('xdelta3 -1'), /apt install xdelta3/);
  assert.equal(line('diff default: wire ÷ rsync -az'), '|diff default: wire ÷ rsync -az|0.0200|≤ 0.0300||yes|');
  assert.match(line('patch of one file, verified'), /not measured/);
  assert.match(line('patch of a tree, verified'), /not measured/);
});

test('rowCells() says what went wrong', () => {
  const outcome = (facts: Parameters<typeof rowOf>[1]): string => rowCells(rowOf('diff-best', facts)).at(-1) ?? '';
  assert.match(outcome({ status: 'wrong', outputSha256: 'cd'.repeat(32), note: 'the target has ef' }), /^WRONG: cdcd/);
  assert.equal(outcome({ status: 'failed', note: 'exit status 1: no memory' }), 'FAILED: exit status 1: no memory');
  assert.equal(outcome({ status: 'not-installed', note: 'x not installed' }), 'x not installed');
});

test('faultLines() names the rows that make the comparison fail, and only those', () => {
  const document = {
    ok: true,
    measuredBy: '',
    tools: {},
    machine: { cpu: '', cores: 1, memoryBytes: 1, platform: '', node: '', commit: '' },
    pairs: [report],
  };
  assert.deepEqual(faultLines(document), []);
  const growth = sectionOf({
    rows: [rowOf('patch-default', { status: 'wrong', isFault: true, job: '1 GB' })],
    aims: [],
  });
  const lines = faultLines({ ...document, growth: { ...growth, measuredBy: '', points: [] } });
  assert.equal(lines.length, 1);
  assert.match(lines[0] ?? '', /^growth: siteferry patch \(default\), 1 GB: WRONG/);
});

test('cpuPerRandom() divides by the reference, and tells nothing without it', () => {
  const random = rowOf('diff-default', { job: 'random, unrelated', cpuSeconds: 2 });
  const zeros = rowOf('diff-default', { job: 'zeros', cpuSeconds: 5 });
  const patch = rowOf('patch-default', { job: 'zeros', cpuSeconds: 99 });
  assert.deepEqual(cpuPerRandom([random, zeros, patch]), { zeros: 2.5 });
  assert.deepEqual(cpuPerRandom([zeros, random]), {});
  assert.deepEqual(cpuPerRandom([{ ...random, status: 'failed' }, zeros]), {});
});

test('growthPoints() takes the start of Node off', () => {
  const start = rowOf('diff-default', { job: '0 GB', cpuSeconds: 0.25, wallSeconds: 0.5 });
  const sized = rowOf('diff-default', { job: '0.5 GB', cpuSeconds: 1.25, wallSeconds: 1 });
  assert.deepEqual(growthPoints([start, sized]), [{ gigabytes: 0.5, cpuSecondsPerGb: 2, wallSecondsPerGb: 1 }]);
  assert.deepEqual(growthPoints([sized]), []);
});

test('growthSizes() ends with the size that was asked for', () => {
  assert.deepEqual(growthSizes(1), [0.1, 0.3, 1]);
  assert.deepEqual(growthSizes(10), [0.1, 0.3, 1, 10]);
  assert.deepEqual(growthSizes(0.2), [0.1, 0.2]);
});
