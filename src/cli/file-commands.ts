/** `siteferry signature`, `delta` and `patch`: single files, without a node, as `rdiff` does it. */

import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import type { DiffLevel } from 'native-free-rdc';
import { deltaFile } from '../file-delta/delta.ts';
import { diffPaths } from '../file-delta/diff.ts';
import type { FileDeltaWorld, OutputOptions } from '../file-delta/draft.ts';
import { patchFile } from '../file-delta/patch.ts';
import { signFile } from '../file-delta/sign.ts';
import { formatBytes, formatSeconds } from '../model/units.ts';
import { realThreads } from '../world/real-threads.ts';
import { type CommandSet, define, type Outcome, type Run, type Shell } from './shell.ts';

interface FileOptions {
  readonly output: string;
  readonly force?: boolean;
}

export function addFileCommands(set: CommandSet, program: Command): void {
  const withOutput = (command: Command, what: string): Command =>
    command
      .requiredOption('-o, --output <file>', `where to write ${what}`)
      .option('--force', 'replace the output if it exists');

  const signature = program
    .command('signature')
    .description('Write the signature of a file: enough to make deltas against it without having it.')
    .argument('<basis>', 'the file the receiver holds');
  define(
    set,
    withOutput(signature, 'the signature'),
    ['siteferry signature old.iso -o old.sig'],
    ({ shell, args, options }: Run<FileOptions>) =>
      timed(shell, async () => {
        const signed = await signFile(worldOf(shell), pathAt(shell, args, 0), outputOf(shell, options));
        const text = `${options.output}: signature of ${formatBytes(signed.bytes)} in ${formatBytes(signed.signatureBytes)}, ${signed.chunks} chunks`;
        return { document: signed, text };
      }),
  );

  const delta = program
    .command('delta')
    .description('Write what leads from a signed file to another one.')
    .argument('<sig>', 'signature of the file the receiver holds')
    .argument('<target>', 'the file the receiver shall get');
  define(
    set,
    withOutput(delta, 'the delta'),
    ['siteferry delta old.sig new.iso -o new.delta'],
    ({ shell, args, options }: Run<FileOptions>) =>
      timed(shell, async () => {
        const paths = { signature: pathAt(shell, args, 0), target: pathAt(shell, args, 1) };
        const { targetSha256: _named, ...made } = await deltaFile(worldOf(shell), paths, outputOf(shell, options));
        const text = `${options.output}: ${formatBytes(made.targetBytes)} as a delta of ${formatBytes(made.deltaBytes)}; ${formatBytes(made.copyBytes)} copied, ${formatBytes(made.literalBytes)} new`;
        return { document: made, text };
      }),
  );

  const diff = program
    .command('diff')
    .description('Write what leads from one file or folder to another, both at hand.')
    .argument('<basis>', 'the file or folder the receiver holds')
    .argument('<target>', 'the file or folder the receiver shall get')
    .addOption(new Option('--level <level>', 'how hard to look').choices(diffLevels).default('default'));
  define(
    set,
    withOutput(diff, 'the delta'),
    ['siteferry diff v1/ v2/ -o v2.delta', 'siteferry diff old.iso new.iso -o new.delta --level best'],
    ({ shell, args, options }: Run<FileOptions & { readonly level: DiffLevel }>) =>
      timed(shell, async () => {
        const order = { basis: pathAt(shell, args, 0), target: pathAt(shell, args, 1), level: options.level };
        const made = await diffPaths(worldOf(shell), order, outputOf(shell, options));
        const text = `${options.output}: ${formatBytes(made.targetBytes)} as a delta of ${formatBytes(made.deltaBytes)}; ${formatBytes(made.copyBytes)} copied, ${formatBytes(made.addBytes)} corrected, ${formatBytes(made.literalBytes)} new`;
        return { document: made, text };
      }),
  );

  const patch = program
    .command('patch')
    .description('Rebuild a file from its basis and a delta: verified, whole, or not at all.')
    .argument('<basis>', 'the file that was signed')
    .argument('<delta>', 'the delta made from its signature');
  define(
    set,
    withOutput(patch, 'the rebuilt file'),
    ['siteferry patch old.iso new.delta -o new.iso'],
    ({ shell, args, options }: Run<FileOptions>) =>
      timed(shell, async () => {
        const paths = { basis: pathAt(shell, args, 0), delta: pathAt(shell, args, 1) };
        const rebuilt = await patchFile(worldOf(shell), paths, outputOf(shell, options));
        return {
          document: rebuilt,
          text: `${options.output}: ${formatBytes(rebuilt.targetBytes)}, ${'sha256' in rebuilt ? `SHA-256 ${rebuilt.sha256}` : 'every file'} verified`,
        };
      }),
  );
}

const diffLevels: readonly DiffLevel[] = ['fast', 'default', 'best'];

function worldOf({ files, random }: Shell): FileDeltaWorld {
  const openThreads = (): ReturnType<FileDeltaWorld['openThreads']> =>
    realThreads({ workerUrl: new URL('../worker.ts', import.meta.url), threadCount: availableParallelism() });
  return { files, random, openThreads };
}

function pathAt(shell: Shell, args: readonly string[], index: number): string {
  return resolve(shell.workingDirectory, args[index] ?? '');
}

function outputOf(shell: Shell, { output, force }: FileOptions): OutputOptions {
  return { output: resolve(shell.workingDirectory, output), mayOverwrite: force === true, signal: shell.signal };
}

async function timed({ clock }: Shell, work: () => Promise<Outcome>): Promise<Outcome> {
  const startedMs = clock.monotonicMs();
  const { document, text } = await work();
  const seconds = Number(((clock.monotonicMs() - startedMs) / 1000).toFixed(3));
  return { document: { ...document, seconds }, text: `${text}, ${formatSeconds(seconds)}` };
}
