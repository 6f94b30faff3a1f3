/**
 * Runs one command and tells what it cost. Two ways: GNU time, which sees everything; elsewhere the shell's `times` for
 * CPU and a preload for the peak memory of our own rows, that of the others staying unknown.
 *
 * In both a small process stands between this one and the tool. That matters: on Linux a process that a large one
 * starts directly inherits the peak memory of its parent.
 */
import { spawn } from 'node:child_process';
import { type FileHandle, open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { z } from 'zod';
import type { Cost } from './row.ts';

export interface Measured {
  readonly cost: Cost;
  /** 0 when it ended well; others as a shell tells them. */
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export type Command = readonly string[];

export interface Meter {
  /** For people: what measures here and what it cannot tell. */
  readonly method: string;
  /** Kills the command and all its children when `signal` aborts, then throws. */
  run(command: Command, signal: AbortSignal): Promise<Measured>;
}

/** GNU time under the names it has on Linux and, by Homebrew, on macOS. */
const gnuTimes = ['/usr/bin/time', 'gtime'];
const gnuFormat = '%e %U %S %M';

/** `folder` is where the meter keeps its own files: beside the work, not in it. */
export async function chooseMeter(folder: string, signal: AbortSignal): Promise<Meter> {
  for (const program of gnuTimes) {
    const meter = gnuTimeMeter(program, folder);
    const isFit = await meter.run([process.execPath, '--version'], signal).then(
      (measured) => measured.exitCode === 0,
      () => false,
    );
    signal.throwIfAborted();
    if (isFit) return meter;
  }
  return shellMeter(folder);
}

export function gnuTimeMeter(program: string, folder: string): Meter {
  return {
    method: `GNU time (${program}): wall, CPU (user + system, children included), peak memory; steps of 0.01 s`,
    async run(command, signal) {
      const usage = join(folder, 'usage');
      const ended = await execute([program, '-f', gnuFormat, '-o', usage, ...command], { folder, signal });
      return { ...ended, cost: parseGnuTime(await readFile(usage, 'utf8')) };
    },
  };
}

/** Takes the last line: before it `time` may have told that the command failed. */
export function parseGnuTime(text: string): Cost {
  const [wallSeconds, user, system, peakKb] = (text.trim().split('\n').at(-1) ?? '').split(' ').map(Number);
  const numbers = z.tuple([z.number(), z.number(), z.number(), z.number()]);
  const [wall, cpuUser, cpuSystem, kb] = numbers.parse([wallSeconds, user, system, peakKb]);
  return { wallSeconds: wall, cpuSeconds: cpuUser + cpuSystem, peakRssBytes: kb * 1024 };
}

export function shellMeter(folder: string): Meter {
  const preload = pathToFileURL(join(import.meta.dirname, 'record-usage.ts')).href;
  return {
    method:
      'sh and process.resourceUsage: CPU and peak memory of our rows exact; CPU of others in steps of 0.01 s, their memory unknown',
    async run(command, signal) {
      const usage = join(folder, 'usage');
      const ownUsage = join(folder, 'own-usage');
      await rm(ownUsage, { force: true });
      const nodeOptions = `${process.env['NODE_OPTIONS'] ?? ''} --import=${preload}`.trim();
      const env = { NODE_OPTIONS: nodeOptions, SITEFERRY_BENCH_USAGE: ownUsage };
      const script = '"$@"; status=$?; times >"$0"; exit $status';
      const startedMs = performance.now();
      const ended = await execute(['/bin/sh', '-c', script, usage, ...command], { folder, signal, env });
      const wallSeconds = (performance.now() - startedMs) / 1000;
      const own = await readOwnUsage(ownUsage);
      const cpuSeconds = own?.cpuSeconds ?? parseShellTimes(await readFile(usage, 'utf8'));
      return { ...ended, cost: { wallSeconds, cpuSeconds, peakRssBytes: own?.peakRssBytes ?? null } };
    },
  };
}

/** The second line is about the children: `0m1.230000s 0m0.040000s`, user and system. */
export function parseShellTimes(text: string): number {
  const [, children = ''] = text.trim().split('\n');
  const parts = [...children.matchAll(/(\d+)m([\d.]+)s/g)];
  if (parts.length !== 2) throw new Error(`Cannot read the times of a command: the shell said ${JSON.stringify(text)}`);
  return parts.reduce((sum, [, minutes, seconds]) => sum + Number(minutes) * 60 + Number(seconds), 0);
}

const ownUsageSchema = z.object({ cpuSeconds: z.number(), peakRssBytes: z.number() });

/** `undefined` when the command was no Node process. */
async function readOwnUsage(path: string): Promise<z.infer<typeof ownUsageSchema> | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  return text === undefined ? undefined : ownUsageSchema.parse(JSON.parse(text));
}

interface Execution {
  readonly folder: string;
  readonly signal: AbortSignal;
  readonly env?: Readonly<Record<string, string>>;
}

/** Output goes to files: no reader of ours takes CPU beside the tool. */
async function execute(
  command: Command,
  { folder, signal, env }: Execution,
): Promise<{ readonly exitCode: number; readonly stdout: string; readonly stderr: string }> {
  signal.throwIfAborted();
  const paths = { out: join(folder, 'stdout'), err: join(folder, 'stderr') };
  let exitCode: number;
  {
    await using out = await open(paths.out, 'w');
    await using err = await open(paths.err, 'w');
    exitCode = await ending(command, { out, err, signal, env: { ...process.env, LC_ALL: 'C', ...env } });
  }
  signal.throwIfAborted();
  return { exitCode, stdout: await readFile(paths.out, 'utf8'), stderr: await readFile(paths.err, 'utf8') };
}

function ending(
  [program = '', ...args]: Command,
  options: {
    readonly out: FileHandle;
    readonly err: FileHandle;
    readonly signal: AbortSignal;
    readonly env: NodeJS.ProcessEnv;
  },
): Promise<number> {
  const { out, err, signal, env } = options;
  return new Promise((resolve, reject) => {
    // A group of its own, so that whatever the tool has started ends with it.
    const child = spawn(program, args, { stdio: ['ignore', out.fd, err.fd], detached: true, env });
    const kill = (): void => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      } catch {
        // It ended just now.
      }
    };
    signal.addEventListener('abort', kill, { once: true });
    child.once('error', reject);
    child.once('close', (code) => {
      signal.removeEventListener('abort', kill);
      resolve(code ?? 1);
    });
  });
}
