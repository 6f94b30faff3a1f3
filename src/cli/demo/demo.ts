/**
 * `siteferry demo`: four nodes on this machine, two versions of a package, and the proof that all of it arrived.
 *
 * Guarantees: the two folders are only read; a node may be killed at any moment and the demo goes on; whatever way it
 * ends, nothing is left running (but with `--keep`), and its working directory is removed unless it is named.
 */
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { exitStatusOf, ReplicationError } from '../../errors.ts';
import { formatBytes } from '../../model/units.ts';
import { randomHex } from '../../world/random.ts';
import { LiveLines } from '../live-lines.ts';
import { type CommandSet, define, type Outcome, type Run, type Shell, usageError } from '../shell.ts';
import { type Folder, isSameFolder, readFolder } from './folder.ts';
import { commandLine, Hierarchy, writePidFile } from './hierarchy.ts';
import { replicate } from './replicate.ts';
import { type DemoReport, isAllVerified, renderReport } from './report.ts';
import { fetchSamplePackages } from './sample-packages.ts';

interface DemoOptions {
  readonly dir?: string;
  readonly keep?: boolean;
  readonly pidFile?: string;
}

export function addDemoCommand(set: CommandSet, program: Command): void {
  const demo = program
    .command('demo')
    .summary('replicate two versions of a package on this machine, and prove it')
    .description(
      'Bring up a site, a child site, its distribution point and a branch as four processes on this machine; ' +
        'replicate OLD, then NEW; verify every file at every node; print what travelled. ' +
        'Without folders two versions of typescript are fetched from the npm registry.',
    )
    .argument('[old]', 'folder that becomes version 1')
    .argument('[new]', 'folder that becomes version 2')
    .option('--dir <dir>', 'where to keep fetched packages and the working directory (default: the temporary folder)')
    .option('--keep', 'leave the four nodes running afterwards')
    .option('--pid-file <file>', 'write {name: process id} there at every start of a node: for those who kill them');
  define(
    set,
    demo,
    [
      'siteferry demo',
      'siteferry demo ./app-1.0 ./app-1.1',
      'siteferry demo ./app-1.0 ./app-1.1 --json',
      'siteferry demo --keep',
    ],
    runDemo,
  );
}

async function runDemo({ shell: outer, args, options }: Run<DemoOptions>): Promise<Outcome> {
  const startedMs = outer.clock.monotonicMs();
  const live = new LiveLines(outer.err);
  const base = resolve(outer.workingDirectory, options.dir ?? tmpdir());
  const { basis, target } = await folders(outer, args, base, (line) => live.print(line));
  const work = join(base, `siteferry-demo-${randomHex(outer.random, 4)}`);
  await outer.files.makeDirectory(work);
  live.print(`two versions of ${formatBytes(basis.bytes)} and ${formatBytes(target.bytes)}; working in ${work}`);

  // Whatever ends the demo ends every wait in it: the person, or a node that cannot be kept alive.
  const ending = new AbortController();
  const shell: Shell = { ...outer, signal: AbortSignal.any([outer.signal, ending.signal]) };
  const isKept = options.keep === true;
  let report: DemoReport;
  try {
    const pidFile = options.pidFile === undefined ? undefined : resolve(shell.workingDirectory, options.pidFile);
    const pids: Record<string, number> = {};
    let writing = Promise.resolve();
    const onStart = (name: string, pid: number): void => {
      pids[name] = pid;
      if (pidFile === undefined) return;
      const known = { ...pids };
      writing = writing.then(() => writePidFile(shell, pidFile, known)).catch((error: unknown) => ending.abort(error));
    };
    await using hierarchy = await Hierarchy.start(shell, { directory: work, isKept, onStart });
    hierarchy.givenUp.catch((error: unknown) => ending.abort(error));
    const replicated = await replicate(shell, hierarchy, { work, basis, target, live });
    const seconds = Number(((shell.clock.monotonicMs() - startedMs) / 1000).toFixed(2));
    const pair = { basis: basis.path, target: target.path };
    report = { ...replicated, pair, restarts: hierarchy.restarts, seconds };
    if (isKept && isAllVerified(report)) {
      hierarchy.leaveRunning();
      report = { ...report, pids: hierarchy.pids() };
    }
    live.clear();
  } catch (error) {
    live.clear();
    if (outer.signal.aborted) await outer.files.removeTree(work);
    else outer.err.write(`what the nodes left behind is kept in ${work}\n`);
    throw ending.signal.aborted ? ending.signal.reason : error;
  }
  return await conclude(outer, report, { work, isKept });
}

async function conclude(
  shell: Shell,
  report: DemoReport,
  { work, isKept }: { readonly work: string; readonly isKept: boolean },
): Promise<Outcome> {
  const text = [renderReport(report)];
  if (!isAllVerified(report)) {
    text.push(`what the nodes left behind is kept in ${work}`);
    return { document: { ...report, work }, text: text.join('\n'), exitStatus: exitStatusOf('verification-failed') };
  }
  if (!isKept) {
    await shell.files.removeTree(work);
    return { document: report, text: text.join('\n') };
  }
  const pids = Object.values(report.pids ?? {}).join(' ');
  text.push(`The four nodes go on running below ${work}:`);
  text.push(
    `  ${commandLine().join(' ')} status --site ${join(work, 'P01')}`,
    `  stop them: kill ${pids}; rm -r ${work}`,
  );
  return { document: { ...report, work }, text: text.join('\n') };
}

/** Read in full before anything is started: a missing or empty folder must not cost more than a second. */
async function folders(
  shell: Shell,
  args: readonly string[],
  base: string,
  tell: (line: string) => void,
): Promise<{ readonly basis: Folder; readonly target: Folder }> {
  const [old, wanted] = args;
  if ((old === undefined) !== (wanted === undefined))
    throw usageError('The demo needs both folders, OLD and NEW, or none', 'siteferry demo OLD NEW');
  const paths =
    old === undefined || wanted === undefined
      ? await fetchSamplePackages(shell, join(base, 'siteferry-demo-packages'), tell)
      : { basis: resolve(shell.workingDirectory, old), target: resolve(shell.workingDirectory, wanted) };
  const basis = await readFolder(shell.files, paths.basis, shell.signal);
  const target = await readFolder(shell.files, paths.target, shell.signal);
  if (!isSameFolder(basis, target)) return { basis, target };
  throw new ReplicationError('nothing-to-do', `${basis.path} and ${target.path} hold the same files`, {
    hint: 'two folders that differ',
  });
}
