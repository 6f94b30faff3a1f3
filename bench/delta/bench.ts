/** The comparison from beginning to end, one tool at a time; leaves nothing behind. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, open, rm } from 'node:fs/promises';
import { arch, availableParallelism, cpus, platform, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { runAdversarial } from './adversarial.ts';
import { pairAims, signatureAims } from './aims.ts';
import { runGrowth } from './growth.ts';
import { type Command, chooseMeter } from './meter.ts';
import type { BenchOptions } from './options.ts';
import { ownCommand, ownTasks, signatureTasks } from './ours.ts';
import { findPairs, type Pair, pairOf, preparePair } from './pair.ts';
import { peerTasks } from './peers.ts';
import { findPrograms } from './programs.ts';
import { type BenchDocument, faultLines, type Machine, type PairReport } from './report.ts';
import type { Row } from './row.ts';
import { type Section, sectionOf } from './section.ts';
import { randomBytes } from './seeded.ts';
import { labelOf, runTask, type Task, type TaskSetting } from './task.ts';
import { warmUp } from './warm-up.ts';

export interface BenchSurroundings {
  readonly signal: AbortSignal;
  /** Told what is being done, a line each. */
  readonly tell: (line: string) => void;
  /** Told when a pair is done, and what came before the first. */
  readonly onHead?: (head: Omit<BenchDocument, 'ok' | 'pairs'>) => void;
  readonly onPair?: (pair: PairReport) => void;
  /** Instead of our own command line. */
  readonly siteferry?: Command;
}

/** Throws `PairError` when what is to be compared is not there; rejects when `signal` aborts. */
export async function runBench(options: BenchOptions, surroundings: BenchSurroundings): Promise<BenchDocument> {
  const { signal, tell, siteferry = ownCommand } = surroundings;
  const pairs = await listPairs(options);
  await mkdir(options.workDirectory, { recursive: true });
  const scratch = await mkdtemp(join(options.workDirectory, 'siteferry-bench-'));
  try {
    const programs = await findPrograms(signal);
    const meter = await chooseMeter(scratch, signal);
    const setting: TaskSetting = { meter, scratch, runCount: options.runCount, programs, signal, tell };
    const head = { measuredBy: meter.method, machine: await describeMachine(), tools: Object.fromEntries(programs) };
    surroundings.onHead?.(head);
    await warmUp(setting, siteferry);
    const reports: PairReport[] = [];
    for (const pair of pairs) {
      const report = await comparePair(pair, options, setting, siteferry);
      surroundings.onPair?.(report);
      reports.push(report);
    }
    const document = { ok: true, ...head, pairs: reports, ...(await runExtras(options, setting, siteferry)) };
    return { ...document, ok: faultLines(document).length === 0 };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function listPairs({ directories, versions }: BenchOptions): Promise<Pair[]> {
  const found = await Promise.all(directories.map(findPairs));
  const named = versions === undefined ? [] : [await pairOf(versions.basis, versions.target)];
  return [...found.flat(), ...named];
}

async function comparePair(
  pair: Pair,
  options: BenchOptions,
  setting: TaskSetting,
  siteferry: Command,
): Promise<PairReport> {
  const folder = join(setting.scratch, 'pair');
  await mkdir(folder);
  try {
    setting.tell(`${pair.name}: reading both versions`);
    const prepared = await preparePair(pair, folder, setting.signal);
    const tell = (line: string): void => setting.tell(`${pair.name}: ${line}`);
    const tasks = chosen([...peerTasks(prepared), ...ownTasks(prepared, siteferry)], options);
    const rows = await runTasks(tasks, { ...setting, tell });
    const { name, kind, targetBytes, files } = prepared;
    return { name, kind, targetBytes, files, ...sectionOf({ rows, aims: pairAims, pair: prepared }) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function chosen(tasks: readonly Task[], { only, slow }: BenchOptions): Task[] {
  return tasks.filter((task) => (slow || task.isSlow !== true) && only?.test(labelOf(task)) !== false);
}

async function runTasks(tasks: readonly Task[], setting: TaskSetting): Promise<Row[]> {
  const rows: Row[] = [];
  for (const task of tasks) rows.push(...(await runTask(task, setting)));
  return rows;
}

async function runExtras(
  options: BenchOptions,
  setting: TaskSetting,
  siteferry: Command,
): Promise<Pick<BenchDocument, 'signature' | 'adversarial' | 'growth'>> {
  const { signatureBytes, adversarialBytes, growthGigabytesMax, only } = options;
  const isWanted = (task: Task): boolean => only?.test(labelOf(task)) !== false;
  const signature =
    signatureBytes === undefined
      ? {}
      : { signature: await compareSignatures(signatureBytes, options, setting, siteferry) };
  const adversarial =
    adversarialBytes === undefined
      ? {}
      : { adversarial: await runAdversarial(setting, { bytes: adversarialBytes, isWanted, siteferry }) };
  const growth =
    growthGigabytesMax === undefined
      ? {}
      : { growth: await runGrowth(setting, { gigabytesMax: growthGigabytesMax, siteferry }) };
  return { ...signature, ...adversarial, ...growth };
}

const blockBytes = 1024 * 1024;

async function compareSignatures(
  bytes: number,
  options: BenchOptions,
  setting: TaskSetting,
  siteferry: Command,
): Promise<Section & { readonly bytes: number }> {
  const path = join(setting.scratch, 'random');
  try {
    await using file = await open(path, 'w');
    for (let offset = 0; offset < bytes; offset += blockBytes) {
      setting.signal.throwIfAborted();
      await file.write(randomBytes(Math.min(blockBytes, bytes - offset), `signature ${offset}`));
    }
    const rows = await runTasks(chosen(signatureTasks(path, siteferry), options), setting);
    return { bytes, ...sectionOf({ rows, aims: signatureAims }) };
  } finally {
    await rm(path, { force: true });
  }
}

const run = promisify(execFile);

/** A number is worth something with the commit and the machine it comes from. */
async function describeMachine(): Promise<Machine> {
  const git = async (...args: string[]): Promise<string> =>
    (await run('git', args, { cwd: import.meta.dirname })).stdout.trim();
  const commit = await git('rev-parse', '--short', 'HEAD').catch(() => 'unknown');
  const changes = commit === 'unknown' ? '' : await git('--no-optional-locks', 'status', '--porcelain').catch(() => '');
  return {
    cpu: cpus()[0]?.model ?? 'unknown CPU',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    platform: `${platform()} ${release()} ${arch()}`,
    node: process.versions.node,
    commit: changes === '' ? commit : `${commit}+`,
  };
}
