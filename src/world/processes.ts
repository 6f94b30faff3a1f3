/**
 * Child processes, for the demonstration that runs a whole hierarchy on one machine.
 *
 * Guarantees: output arrives line by line, complete before `exited` resolves; disposing asks a child to end and, when
 * it does not within the grace, kills it; a child is not left behind by a parent that ends in order. A parent killed
 * with -9 leaves its children running: they notice by their standard input closing, if they look.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { ReplicationError } from '../errors.ts';

export type OutputStream = 'stdout' | 'stderr';

export interface SpawnOptions {
  /** The program and its arguments; no shell sees them. */
  readonly command: readonly [program: string, ...args: string[]];
  /** Added to this process's environment; `undefined` removes. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** Called for each line without its end. */
  readonly onLine?: (stream: OutputStream, line: string) => void;
  /** How long a disposed child may take to end by itself. */
  readonly graceMs?: number;
}

/** How a process ended: exactly one of the two is not null. */
export interface ProcessEnd {
  readonly exitCode: number | null;
  readonly signal: string | null;
}

export interface SpawnedProcess extends AsyncDisposable {
  readonly pid: number;
  /** Never rejects. */
  readonly exited: Promise<ProcessEnd>;
  /** No error when the process has ended already. */
  kill(signal: NodeJS.Signals): void;
}

/** A child closes databases and servers within this; both take milliseconds. */
const GRACE_MS_DEFAULT = 5_000;

/** Starts a process. Throws `process-failed` when the program cannot be started. */
export async function spawnProcess(options: SpawnOptions): Promise<SpawnedProcess> {
  const { command, env, cwd, onLine, graceMs = GRACE_MS_DEFAULT } = options;
  const [program, ...args] = command;
  const child = spawn(program, args, {
    env: { ...process.env, ...env },
    cwd,
    stdio: ['pipe', 'pipe', 'pipe'],
    windowsHide: true,
  });
  // A child that ends before it reads its input is no failure of ours.
  child.stdin.on('error', () => {});
  const read = [
    eachLine(child.stdout, (line) => onLine?.('stdout', line)),
    eachLine(child.stderr, (line) => onLine?.('stderr', line)),
  ];
  const ended = new Promise<ProcessEnd>((resolve) => {
    child.once('close', (exitCode, signal) => resolve({ exitCode, signal }));
  });
  await started(child, program);
  const exited = Promise.all(read).then(() => ended);
  return {
    pid: child.pid ?? 0,
    exited,
    kill: (signal) => void child.kill(signal),
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
      await exited;
      clearTimeout(timer);
    },
  };
}

function started(child: ChildProcess, program: string): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (cause) => {
      const message = `Cannot start ${JSON.stringify(program)}: the system refuses, expected a program`;
      reject(new ReplicationError('process-failed', message, { cause }));
    });
  });
}

async function eachLine(stream: Readable, onLine: (line: string) => void): Promise<void> {
  const lines = createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY });
  lines.on('line', onLine);
  await new Promise<void>((resolve) => lines.once('close', resolve));
}
