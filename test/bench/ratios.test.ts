import assert from 'node:assert/strict';
import { test } from 'node:test';
import { evaluateAims, pairAims } from '../../bench/delta/aims.ts';
import { computeRatios, describeRatio } from '../../bench/delta/ratios.ts';
import { sumCosts } from '../../bench/delta/row.ts';
import { sectionOf } from '../../bench/delta/section.ts';
import { rowOf } from './rows.ts';

test('computeRatios() divides bytes by bytes, CPU by CPU, wall by wall', () => {
  const rows = [
    rowOf('rsync-tree', { wireBytes: 10_000, cpuSeconds: 7 }),
    rowOf('xdelta3', { wireBytes: 4_000, cpuSeconds: 2 }),
    rowOf('xdelta3-decode', { wireBytes: null, wallSeconds: 0.8 }),
    rowOf('diff-default', { wireBytes: 1_000, cpuSeconds: 1.5 }),
    rowOf('stream-patch-default', { wireBytes: null, wallSeconds: 0.2 }),
  ];
  assert.deepEqual(computeRatios(rows, 'folders'), {
    diffDefaultBytesPerRsyncTree: 0.1,
    diffDefaultBytesPerXdelta3: 0.25,
    diffDefaultCpuPerXdelta3: 0.75,
    patchDefaultWallPerXdelta3Decode: 0.25,
  });
});

test('computeRatios() divides the patch of a tar by decoding a tar, and of a tree by decoding and unpacking one', () => {
  const rows = [
    rowOf('xdelta3-decode', { wireBytes: null, wallSeconds: 1 }),
    rowOf('xdelta3-decode-tree', { wireBytes: null, wallSeconds: 4 }),
    rowOf('stream-patch-default', { wireBytes: null, wallSeconds: 0.5 }),
    rowOf('patch-default', { wireBytes: null, wallSeconds: 3 }),
    rowOf('patch-best', { wireBytes: null, wallSeconds: 6 }),
  ];
  assert.deepEqual(computeRatios(rows, 'folders'), {
    patchDefaultWallPerXdelta3Decode: 0.5,
    patchTreeWallPerXdelta3DecodeTree: 0.75,
    patchTreeBestWallPerXdelta3DecodeTree: 1.5,
  });
  const ofFile = rows.filter((row) => row.id !== 'xdelta3-decode-tree' && row.id !== 'stream-patch-default');
  assert.deepEqual(computeRatios(ofFile, 'folders'), {});
  assert.deepEqual(computeRatios(ofFile, 'files'), {
    patchDefaultWallPerXdelta3Decode: 3,
    patchBestWallPerXdelta3Decode: 6,
  });
});

test('computeRatios() leaves out what was not measured and what is too short to divide by', () => {
  const made = rowOf('diff-default');
  assert.deepEqual(computeRatios([made], 'folders'), {});
  assert.deepEqual(computeRatios([made, rowOf('rsync-tree', { status: 'failed' })], 'folders'), {});
  assert.deepEqual(computeRatios([rowOf('diff-default', { status: 'wrong' }), rowOf('rsync-tree')], 'folders'), {});
  const short = rowOf('xdelta3', { wireBytes: 0, cpuSeconds: 0.04 });
  assert.deepEqual(computeRatios([made, short], 'folders'), {});
  const longEnough = rowOf('xdelta3', { wireBytes: 0, cpuSeconds: 0.05 });
  assert.deepEqual(Object.keys(computeRatios([made, longEnough], 'folders')), ['diffDefaultCpuPerXdelta3']);
});

test('computeRatios() takes the whole for the largest file only in a pair of files', () => {
  const rows = [rowOf('diff-default', { wireBytes: 500 }), rowOf('file-bsdiff', { cpuSeconds: 50 })];
  assert.deepEqual(computeRatios(rows, 'files'), {
    fileDiffDefaultBytesPerBsdiff: 0.5,
    fileDiffDefaultCpuPerBsdiff: 0.02,
  });
  assert.deepEqual(computeRatios(rows, 'folders'), {});
});

test('describeRatio() names both tools and what is divided', () => {
  assert.equal(describeRatio('diffBestBytesPerRsyncTree'), 'siteferry diff best: wire ÷ rsync -az');
  assert.equal(describeRatio('fileDiffBestCpuPerBsdiff'), 'siteferry diff best, largest file: CPU ÷ bsdiff');
  assert.equal(describeRatio('streamDiffDefaultBytesPerXdelta3'), 'siteferry diff default, tar: wire ÷ xdelta3 -1');
});

test('evaluateAims() takes the aims of the pair and tells met, missed and not measured apart', () => {
  const metrics = { diffDefaultBytesPerRsyncTree: 0.13, diffDefaultCpuPerXdelta3: 1.01 };
  const results = evaluateAims(pairAims, metrics, { name: 'node', kind: 'folders', targetBytes: 190_000_000 });
  const find = (metric: string): unknown => {
    const { met, stretchMet, measured } = results.find((result) => result.metric === metric) ?? {};
    return { met, stretchMet, measured };
  };
  assert.deepEqual(find('diffDefaultBytesPerRsyncTree'), { met: true, stretchMet: false, measured: 0.13 });
  assert.deepEqual(find('diffDefaultCpuPerXdelta3'), { met: false, stretchMet: false, measured: 1.01 });
  assert.deepEqual(find('fileDiffBestBytesPerBsdiff'), { met: null, stretchMet: null, measured: null });
});

test('evaluateAims() counts the limit itself as met and asks small or unknown pairs for less', () => {
  const limits = (name: string, targetBytes: number, kind: 'folders' | 'files' = 'folders'): Record<string, number> =>
    Object.fromEntries(evaluateAims(pairAims, {}, { name, kind, targetBytes }).map(({ metric, aim }) => [metric, aim]));
  assert.equal(limits('kernel', 4e8)['diffDefaultBytesPerRsyncTree'], 0.2);
  assert.equal(limits('typescript', 22e6)['diffDefaultBytesPerRsyncTree'], 0.03);
  assert.equal(limits('my-own', 4e8)['diffDefaultBytesPerRsyncTree'], undefined);
  assert.equal(limits('my-own', 50_000_000)['diffDefaultCpuPerXdelta3'], 1);
  assert.equal(limits('my-own', 49_999_999)['diffDefaultCpuPerXdelta3'], undefined);
  assert.equal(limits('my-own', 1)['patchTreeWallPerXdelta3DecodeTree'], 0.5);
  assert.equal(limits('my-own', 1, 'files')['patchTreeWallPerXdelta3DecodeTree'], undefined);
  assert.equal(limits('my-own', 1, 'files')['patchDefaultWallPerXdelta3Decode'], 0.5);
  const [exact] = evaluateAims([{ name: 'limit', metric: 'growthMaxPerMin', atMost: 1.15 }], { growthMaxPerMin: 1.15 });
  assert.equal(exact?.met, true);
});

test('sectionOf() takes the peak of our processes only', () => {
  const rows = [
    rowOf('bsdiff', { peakRssBytes: 9e9 }),
    rowOf('diff-fast', { peakRssBytes: 300 * 1024 * 1024 }),
    rowOf('patch-fast', { peakRssBytes: 100 }),
  ];
  const { aims } = sectionOf({ rows, aims: pairAims.filter((aim) => aim.metric === 'peakRssBytesOfOurs') });
  assert.deepEqual(
    aims.map(({ measured, met }) => ({ measured, met })),
    [{ measured: 300 * 1024 * 1024, met: false }],
  );
});

test('sumCosts() adds times, takes the largest peak, and does not guess an unknown one', () => {
  const [first, second] = [
    { wallSeconds: 1, cpuSeconds: 2, peakRssBytes: 300 },
    { wallSeconds: 0.5, cpuSeconds: 0.25, peakRssBytes: 100 },
  ];
  assert.deepEqual(sumCosts([first, second]), { wallSeconds: 1.5, cpuSeconds: 2.25, peakRssBytes: 300 });
  assert.equal(sumCosts([first, { ...second, peakRssBytes: null }]).peakRssBytes, null);
});
