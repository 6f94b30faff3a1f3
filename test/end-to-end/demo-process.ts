/** The demo as its user starts it: a process of its own, watched line by line. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { spawnProcess } from '../../src/world/processes.ts';

const launcher = join(import.meta.dirname, '..', '..', 'src', 'cli', 'launch.js');

export const demoResult = z.object({
  ok: z.boolean(),
  restarts: z.number(),
  hops: z.array(
    z.object({
      from: z.string(),
      to: z.string(),
      version: z.number(),
      logicalBytes: z.number().nullable(),
      wireBytes: z.number().nullable(),
      verified: z.boolean(),
    }),
  ),
});
export type DemoResult = z.infer<typeof demoResult>;

export interface DemoRun {
  readonly basis: string;
  readonly target: string;
  readonly pidFile: string;
  /** Called for each line of progress. */
  readonly onProgress: (line: string) => void;
}

export interface DemoEnd {
  readonly exitCode: number | null;
  readonly result: DemoResult | undefined;
  readonly progress: readonly string[];
}

export async function runDemo(run: DemoRun): Promise<DemoEnd> {
  const output: string[] = [];
  const progress: string[] = [];
  const command = [
    process.execPath,
    launcher,
    'demo',
    run.basis,
    run.target,
    '--json',
    '--pid-file',
    run.pidFile,
  ] as const;
  await using demo = await spawnProcess({
    command,
    onLine: (stream, line) => {
      if (stream === 'stdout') return void output.push(line);
      progress.push(line);
      run.onProgress(line);
    },
  });
  const { exitCode } = await demo.exited;
  const parsed = demoResult.safeParse(parseJson(output.join('\n')));
  return { exitCode, result: parsed.success ? parsed.data : undefined, progress };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Kills one node of a running demo, if it lives at this moment. */
export function killNode(pidFile: string, name: string): boolean {
  try {
    const pids = z.record(z.string(), z.number()).parse(JSON.parse(readFileSync(pidFile, 'utf8')));
    const pid = pids[name];
    return pid !== undefined && process.kill(pid, 'SIGKILL');
  } catch {
    // Between two lives, or the file is just being replaced.
    return false;
  }
}

export const nodeNames: readonly string[] = ['P01', 'C01', 'C01DP1', 'B01'];
