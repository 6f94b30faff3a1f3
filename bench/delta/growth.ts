/**
 * Seconds per GB of `diff` as inputs grow. Pairs are made up: half random, half compressible, a few bytes changed in
 * every 16 KiB, blocks moved and blocks new. What a command costs on empty files (Node's start) is taken off.
 */
import { createHash } from 'node:crypto';
import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { growthAims } from './aims.ts';
import { type Command, shellMeter } from './meter.ts';
import { diffTask, ownCommand } from './ours.ts';
import type { Row } from './row.ts';
import { type Section, sectionOf } from './section.ts';
import { compressibleBytes, randomBytes } from './seeded.ts';
import { runTask, type TaskSetting } from './task.ts';

const GB = 1e9;
const blockBytes = 1_000_000;
const editStrideBytes = 16 * 1024;

export interface GrowthPoint {
  readonly gigabytes: number;
  /** CPU, start of Node taken off. */
  readonly cpuSecondsPerGb: number;
  readonly wallSecondsPerGb: number;
}

/** 0.1, 0.3, 1 and 10 as far as they are below `gigabytesMax`, and that one. */
export function growthSizes(gigabytesMax: number): number[] {
  return [...[0.1, 0.3, 1, 10].filter((size) => size < gigabytesMax), gigabytesMax];
}

export interface GrowthFacts {
  readonly measuredBy: string;
  readonly points: readonly GrowthPoint[];
}

/**
 * Needs four times the largest size on disk: basis, target, rebuilt target and room. Measured by the meter of the shell
 * whatever else is here: for Node processes it counts microseconds, where GNU time's steps are a tenth of a small point.
 */
export async function runGrowth(
  setting: TaskSetting,
  options: { readonly gigabytesMax: number; readonly siteferry?: Command },
): Promise<Section & GrowthFacts> {
  const { gigabytesMax, siteferry = ownCommand } = options;
  const meter = shellMeter(setting.scratch);
  const rows: Row[] = [];
  for (const gigabytes of [0, ...growthSizes(gigabytesMax)]) {
    rows.push(...(await measureSize({ ...setting, meter }, gigabytes, siteferry)));
  }
  const points = growthPoints(rows);
  const costs = points.map((point) => point.cpuSecondsPerGb);
  const spread = costs.length < 2 ? {} : { growthMaxPerMin: Math.max(...costs) / Math.min(...costs) };
  return { measuredBy: meter.method, points, ...sectionOf({ rows, aims: growthAims, metrics: spread }) };
}

async function measureSize(setting: TaskSetting, gigabytes: number, siteferry: Command): Promise<Row[]> {
  const folder = join(setting.scratch, 'growth');
  await mkdir(folder, { recursive: true });
  try {
    const paths = { basis: join(folder, 'basis'), target: join(folder, 'target') };
    const targetSha256 = await writePair(paths, Math.round((gigabytes * GB) / blockBytes), setting.signal);
    const versions = { ...paths, sha256: targetSha256, kind: 'file' } as const;
    const ids = { make: 'diff-default', apply: 'patch-default' } as const;
    return await runTask(diffTask(siteferry, { job: jobOf(gigabytes), versions, level: 'default', ...ids }), setting);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function jobOf(gigabytes: number): string {
  return `${gigabytes} GB`;
}

/** Writes both files block by block; returns the SHA-256 of the target. */
async function writePair(
  paths: { readonly basis: string; readonly target: string },
  blockCount: number,
  signal: AbortSignal,
): Promise<string> {
  await using basis = await open(paths.basis, 'w');
  await using target = await open(paths.target, 'w');
  const hash = createHash('sha256');
  for (let index = 0; index < blockCount; index += 1) {
    signal.throwIfAborted();
    await basis.write(basisBlock(index));
    const wanted = targetBlock(index, blockCount);
    hash.update(wanted);
    await target.write(wanted);
  }
  return hash.digest('hex');
}

function basisBlock(index: number): Buffer {
  return index % 2 === 0 ? randomBytes(blockBytes, `block ${index}`) : compressibleBytes(blockBytes, `block ${index}`);
}

/** One block in 32 is new, one in 16 comes from elsewhere, at most 32 blocks away; the rest stays where it was. */
export function targetBlock(index: number, blockCount: number): Buffer {
  if (index % 32 === 31) return randomBytes(blockBytes, `new ${index}`);
  const from = index % 16 === 7 ? Math.min(blockCount - 1, index ^ 31) : index;
  const block = basisBlock(from);
  const edits = randomBytes(2 * Math.ceil(blockBytes / editStrideBytes), `edits ${index}`);
  for (let edit = 0; edit * editStrideBytes < blockBytes; edit += 1) {
    const at = edit * editStrideBytes + (edits[2 * edit] ?? 0) * 32;
    if (at < blockBytes) block[at] = edits[2 * edit + 1] ?? 0;
  }
  return block;
}

/** The first row is that of empty files: what a command costs before it does anything. */
export function growthPoints(rows: readonly Row[]): GrowthPoint[] {
  const [empty, ...sized] = rows.filter((row) => row.id === 'diff-default' && row.status === 'measured');
  if (empty?.job !== jobOf(0)) return [];
  return sized.map((row) => {
    const gigabytes = Number.parseFloat(row.job);
    const perGb = (total: number | null, start: number | null): number => ((total ?? 0) - (start ?? 0)) / gigabytes;
    return {
      gigabytes,
      cpuSecondsPerGb: perGb(row.cpuSeconds, empty.cpuSeconds),
      wallSecondsPerGb: perGb(row.wallSeconds, empty.wallSeconds),
    };
  });
}
