/**
 * Inputs that make a delta engine slow when it is careless: each is measured against unrelated random data of the same
 * size. The processes are whole commands, Node's start included, on both sides of the ratio.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { adversarialAims } from './aims.ts';
import { hashFile } from './checksum.ts';
import type { Command } from './meter.ts';
import { diffTask, ownCommand } from './ours.ts';
import type { Row } from './row.ts';
import { type Section, sectionOf } from './section.ts';
import { compressibleBytes, deBruijnLike, randomBytes, repeated, selfSimilar } from './seeded.ts';
import { runTask, type Task, type TaskSetting } from './task.ts';

export interface AdversarialCase {
  readonly name: string;
  /** The contents for a size in bytes. */
  make(count: number): { readonly basis: Buffer; readonly target: Buffer };
}

const reference: AdversarialCase = {
  name: 'random, unrelated',
  make: (count) => ({ basis: randomBytes(count, 'basis'), target: randomBytes(count, 'target') }),
};

/** How much smaller the small side is. */
const smallShare = 1024;

export const adversarialCases: readonly AdversarialCase[] = [
  { name: 'zeros', make: (count) => ({ basis: Buffer.alloc(count), target: Buffer.alloc(count + 1) }) },
  {
    name: 'one byte repeated, another one',
    make: (count) => ({ basis: Buffer.alloc(count, 1), target: Buffer.alloc(count, 2) }),
  },
  {
    name: 'period 16, shifted',
    make: (count) => {
      const pattern = randomBytes(16, 'period');
      return { basis: repeated(count, pattern), target: repeated(count + 7, pattern).subarray(7) };
    },
  },
  {
    name: 'period 16, another pattern',
    make: (count) => ({
      basis: repeated(count, randomBytes(16, 'period')),
      target: repeated(count, randomBytes(16, 'other period')),
    }),
  },
  {
    name: 'de Bruijn of two letters',
    make: (count) => ({ basis: deBruijnLike(count, 1), target: deBruijnLike(count, 0x0badcafe) }),
  },
  { name: 'self-similar', make: (count) => ({ basis: selfSimilar(count, 'one'), target: selfSimilar(count, 'two') }) },
  {
    name: 'already compressed, changed early',
    make: (count) => {
      const [head, tail] = [count >>> 4, count - (count >>> 4)];
      const shared = randomBytes(head, 'head');
      return {
        basis: Buffer.concat([shared, randomBytes(tail, 'basis')]),
        target: Buffer.concat([shared, randomBytes(tail, 'target')]),
      };
    },
  },
  {
    name: 'basis much larger',
    make: (count) => {
      const basis = compressibleBytes(count, 'basis');
      return { basis, target: basis.subarray(count >>> 1, (count >>> 1) + Math.ceil(count / smallShare)) };
    },
  },
  {
    name: 'basis much smaller',
    make: (count) => {
      const target = compressibleBytes(count, 'target');
      return { basis: target.subarray(0, Math.ceil(count / smallShare)), target };
    },
  },
  { name: 'empty basis', make: (count) => ({ basis: Buffer.alloc(0), target: randomBytes(count, 'target') }) },
  { name: 'empty target', make: (count) => ({ basis: randomBytes(count, 'basis'), target: Buffer.alloc(0) }) },
];

export interface AdversarialFacts {
  /** Of each large side. */
  readonly bytes: number;
  /** CPU of each case ÷ CPU on unrelated random data. */
  readonly cpuPerRandom: Readonly<Record<string, number>>;
}

/** `bytes`: size of each side. Tasks that `isWanted` refuses are left out; the reference never is. */
export async function runAdversarial(
  setting: TaskSetting,
  options: { readonly bytes: number; readonly isWanted: (task: Task) => boolean; readonly siteferry?: Command },
): Promise<Section & AdversarialFacts> {
  const { bytes, isWanted, siteferry = ownCommand } = options;
  const folder = join(setting.scratch, 'adversarial');
  const paths = { basis: join(folder, 'basis'), target: join(folder, 'target') };
  const rows: Row[] = [];
  for (const one of [reference, ...adversarialCases]) {
    if (one !== reference && !isWanted(taskOf(one, siteferry, { ...paths, sha256: '' }))) continue;
    setting.signal.throwIfAborted();
    await mkdir(folder, { recursive: true });
    try {
      const { basis, target } = one.make(bytes);
      await writeFile(paths.basis, basis);
      await writeFile(paths.target, target);
      const sha256 = await hashFile(paths.target, setting.signal);
      rows.push(...(await runTask(taskOf(one, siteferry, { ...paths, sha256 }), setting)));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
  const ratios = cpuPerRandom(rows);
  const worst = Math.max(...Object.values(ratios));
  const metrics = Number.isFinite(worst) ? { adversarialCpuMaxPerRandom: worst } : {};
  return { bytes, cpuPerRandom: ratios, ...sectionOf({ rows, aims: adversarialAims, metrics }) };
}

function taskOf(
  { name }: AdversarialCase,
  siteferry: Command,
  files: { readonly basis: string; readonly target: string; readonly sha256: string },
): Task {
  const ids = { make: 'diff-default', apply: 'patch-default' } as const;
  return diffTask(siteferry, { job: name, versions: { ...files, kind: 'file' }, level: 'default', ...ids });
}

/** CPU of each `diff` ÷ that of the first row, the reference; nothing when that one was not measured. */
export function cpuPerRandom(rows: readonly Row[]): Readonly<Record<string, number>> {
  const made = rows.filter((row) => row.id === 'diff-default' && row.status === 'measured');
  const [random, ...others] = made;
  if (random?.job !== reference.name || random.cpuSeconds === null || random.cpuSeconds === 0) return {};
  const { cpuSeconds } = random;
  return Object.fromEntries(others.map((row) => [row.job, (row.cpuSeconds ?? 0) / cpuSeconds]));
}
