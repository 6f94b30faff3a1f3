/**
 * A task is what one tool does in a comparison: make what travels, and, where the tool can, rebuild the target from it,
 * in one form or two. Running one gives a row for each step. A rebuilt target that is not the target is never a
 * measurement.
 */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { hashFile, hashTree } from './checksum.ts';
import type { Command, Measured, Meter } from './meter.ts';
import { missingPrograms } from './programs.ts';
import { type Cost, type FailedCommand, isOurs, type Row, type RowId, rowTools, sumCosts } from './row.ts';

export interface Rebuilt {
  readonly kind: 'file' | 'tree';
  readonly path: string;
  /** What it must have. */
  readonly sha256: string;
}

export interface Step {
  readonly id: RowId;
  /** Where it is not that of the task. */
  readonly job?: string;
  /** Not measured. */
  prepare?(signal: AbortSignal): Promise<void>;
  /** Measured one after the other, their costs added up. */
  readonly commands: readonly Command[];
  /** `outputs` is what each command printed. Throws when what it says about itself is not so. */
  wireBytes?(outputs: readonly string[]): Promise<number>;
  readonly rebuilt?: Rebuilt;
}

export interface Task {
  readonly job: string;
  /** Programs without which it cannot run. */
  readonly needs: readonly string[];
  /** Only on demand: minutes, gigabytes. */
  readonly isSlow?: boolean;
  /** All steps work in the folder `place`, which exists, empty, when `make` begins. */
  plan(place: string): {
    readonly make: Step;
    readonly apply?: Step;
    /** From what was made, too, where `apply` gives the tar of a tree: the tree. */
    readonly unpack?: Step;
  };
}

export interface TaskSetting {
  readonly meter: Meter;
  /** For the folders of tasks. */
  readonly scratch: string;
  /** Each step runs so often; its row is the run with the least CPU. */
  readonly runCount: number;
  readonly programs: ReadonlyMap<string, string>;
  readonly signal: AbortSignal;
  /** Told before each task. */
  readonly tell: (line: string) => void;
}

/** `siteferry diff default, tree`: what `--only` looks at. */
export function labelOf(task: Task): string {
  return `${rowTools[task.plan('').make.id]}, ${task.job}`;
}

/** Removes all it wrote. Rejects only when `signal` aborts. */
export async function runTask(task: Task, setting: TaskSetting): Promise<Row[]> {
  const place = join(setting.scratch, 'task');
  const { make, apply, unpack } = task.plan(place);
  const missing = missingPrograms(setting.programs, task.needs);
  if (missing !== undefined) return [rowOf(task, make, { status: 'not-installed', note: missing })];
  setting.tell(labelOf(task));
  const emptyPlace = async (): Promise<void> => {
    await rm(place, { recursive: true, force: true });
    await mkdir(place, { recursive: true });
  };
  try {
    const made = await cheapest(make, setting, emptyPlace);
    const rows: Row[] = [];
    if (made.status === 'measured') {
      for (const step of [apply, unpack]) if (step !== undefined) rows.push(await rebuild(task, step, setting));
    }
    const proof = rows[0]?.outputSha256;
    return [rowOf(task, make, { ...made, ...(proof === undefined ? {} : { outputSha256: proof }) }), ...rows];
  } finally {
    await rm(place, { recursive: true, force: true });
  }
}

async function rebuild(task: Task, step: Step, setting: TaskSetting): Promise<Row> {
  const removeRebuilt = async (): Promise<void> => {
    if (step.rebuilt !== undefined) await rm(step.rebuilt.path, { recursive: true, force: true });
  };
  const applied = await cheapest(step, setting, removeRebuilt);
  // What was rebuilt is as large as the target: the next step shall find the room.
  await removeRebuilt();
  return rowOf(task, step, { ...applied, isApply: true });
}

interface Result {
  readonly status: Row['status'];
  readonly cost?: Cost;
  readonly wireBytes?: number;
  readonly outputSha256?: string;
  readonly note?: string;
  readonly failed?: FailedCommand;
}

/** The run with the least CPU, or the first that did not end well. */
async function cheapest(step: Step, setting: TaskSetting, clear: () => Promise<void>): Promise<Result> {
  let best: Result | undefined;
  for (let run = 0; run < setting.runCount; run += 1) {
    await clear();
    const result = await runStep(step, setting).catch((error: unknown): Result => {
      setting.signal.throwIfAborted();
      return { status: 'failed', note: error instanceof Error ? error.message : String(error) };
    });
    if (result.status !== 'measured') return result;
    if (best === undefined || (result.cost?.cpuSeconds ?? 0) < (best.cost?.cpuSeconds ?? 0)) best = result;
  }
  if (best === undefined) throw new RangeError(`A step runs at least once, got ${setting.runCount}`);
  return best;
}

async function runStep(step: Step, { meter, signal }: TaskSetting): Promise<Result> {
  await step.prepare?.(signal);
  const all: Measured[] = [];
  for (const command of step.commands) {
    const measured = await meter.run(command, signal);
    if (measured.exitCode !== 0) return explainFailure(command, measured);
    all.push(measured);
  }
  const cost = sumCosts(all.map((measured) => measured.cost));
  const wireBytes = await step.wireBytes?.(all.map((measured) => measured.stdout));
  const made = { cost, ...(wireBytes === undefined ? {} : { wireBytes }) };
  if (step.rebuilt === undefined) return { status: 'measured', ...made };
  const { kind, path, sha256 } = step.rebuilt;
  const outputSha256 = kind === 'file' ? await hashFile(path, signal) : (await hashTree(path, signal)).sha256;
  if (outputSha256 === sha256) return { status: 'measured', ...made, outputSha256 };
  return { status: 'wrong', ...made, outputSha256, note: `the target has ${sha256}` };
}

const failureDocument = z.object({ error: z.object({ code: z.string(), message: z.string() }) });

/** The end of what a failed command wrote: enough for a stack trace. */
const stderrCharactersMax = 4000;
const noteCharactersMax = 200;

/**
 * Our commands tell their failures as a document, others somewhere in their words. A command line that ours refuses
 * (`usage`) is a failure like any other: the comparison calls what exists, so one of the two has changed.
 */
function explainFailure(command: Command, { exitCode, stdout, stderr }: Measured): Result {
  const failed = { command: asTyped(command), exitCode, stderr: stderr.trim().slice(-stderrCharactersMax) };
  const told = failureDocument.safeParse(parseJson(stdout));
  if (told.success) {
    const { code, message } = told.data.error;
    return { status: 'failed', note: `${code}: ${message}`, failed };
  }
  const lines = stderr.trim().split('\n');
  const said = lines.findLast((line) => /error/i.test(line)) ?? lines.at(-1) ?? '';
  return { status: 'failed', note: `exit status ${exitCode}: ${said.slice(0, noteCharactersMax)}`, failed };
}

/** As a person would type it into a shell. */
function asTyped(command: Command): string {
  return command.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(' ');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function rowOf(task: Task, step: Step, result: Result & { readonly isApply?: boolean }): Row {
  const { status, cost, wireBytes, outputSha256, note, failed, isApply = false } = result;
  const tool = rowTools[step.id];
  return {
    id: step.id,
    tool,
    job: step.job ?? task.job,
    status,
    wireBytes: wireBytes ?? null,
    wallSeconds: cost?.wallSeconds ?? null,
    cpuSeconds: cost?.cpuSeconds ?? null,
    peakRssBytes: cost?.peakRssBytes ?? null,
    ...(outputSha256 === undefined ? {} : { outputSha256 }),
    ...(note === undefined ? {} : { note }),
    ...(failed === undefined ? {} : { failed }),
    // A peer that cannot make its delta is a missing number; one that made it must rebuild the target from it.
    isFault: status === 'wrong' || (isApply && status !== 'measured') || (isOurs({ tool }) && status === 'failed'),
  };
}
