/** What Siteferry does for the same jobs: its command line, whole processes, started by the Node that runs this. */
import { stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import type { Command } from './meter.ts';
import type { FilePair, PreparedPair } from './pair.ts';
import type { RowId } from './row.ts';
import type { Rebuilt, Task } from './task.ts';

export const levels = ['fast', 'default', 'best'] as const;
export type Level = (typeof levels)[number];

/** How `siteferry` is started here. */
export const ownCommand: Command = [
  process.execPath,
  resolve(import.meta.dirname, '..', '..', 'src', 'cli', 'launch.js'),
];

/** In the order of the table. `siteferry` may be another command that behaves like ours. */
export function ownTasks(pair: PreparedPair, siteferry: Command = ownCommand): Task[] {
  const isFolders = pair.kind === 'folders';
  const { whole, largest } = pair;
  const versions = isFolders
    ? ({ basis: pair.basis, target: pair.target, kind: 'tree', sha256: pair.targetTreeSha256 } as const)
    : wantedFile(whole);
  const tasks = levels.map((level) =>
    diffTask(siteferry, {
      job: isFolders ? 'tree' : 'file',
      versions,
      level,
      make: `diff-${level}`,
      apply: `patch-${level}`,
    }),
  );
  if (isFolders) {
    // The very work of xdelta3: one tar from another.
    const ids = { make: 'stream-diff-default', apply: 'stream-patch-default' } as const;
    tasks.push(diffTask(siteferry, { job: 'tar', versions: wantedFile(whole), level: 'default', ...ids }));
  }
  if (largest !== undefined) {
    for (const level of ['default', 'best'] as const) {
      const ids = { make: `file-diff-${level}`, apply: `file-patch-${level}` } as const;
      tasks.push(diffTask(siteferry, { job: largest.path, versions: wantedFile(largest), level, ...ids }));
    }
  }
  tasks.push(oneSided(siteferry, whole, isFolders ? 'tar' : 'file'));
  return tasks;
}

interface Versions {
  readonly basis: string;
  readonly target: string;
  readonly kind: Rebuilt['kind'];
  /** Of the target. */
  readonly sha256: string;
}

function wantedFile({ basis, target, targetSha256 }: FilePair): Versions {
  return { basis, target, kind: 'file', sha256: targetSha256 };
}

interface DiffJob {
  readonly job: string;
  readonly versions: Versions;
  readonly level: Level;
  readonly make: RowId;
  readonly apply: RowId;
}

/** Both versions at hand. */
export function diffTask(siteferry: Command, { job, versions, level, make, apply }: DiffJob): Task {
  const { basis, target, kind, sha256 } = versions;
  return {
    job,
    needs: [],
    plan(place) {
      const [delta, rebuilt] = [join(place, 'delta'), join(place, 'rebuilt')];
      return {
        make: {
          id: make,
          commands: [[...siteferry, 'diff', basis, target, '-o', delta, '--level', level, '--json']],
          wireBytes: async ([told]) => await toldBytes(told, 'deltaBytes', delta),
        },
        apply: {
          id: apply,
          commands: [[...siteferry, 'patch', basis, delta, '-o', rebuilt, '--json']],
          rebuilt: { kind, path: rebuilt, sha256 },
        },
      };
    },
  };
}

/** The basis is elsewhere: its signature travels one way, the delta the other. */
function oneSided(siteferry: Command, files: FilePair, job: string): Task {
  return {
    job,
    needs: [],
    plan(place) {
      const [signature, delta, rebuilt] = [join(place, 'sig'), join(place, 'delta'), join(place, 'rebuilt')];
      return {
        make: {
          id: 'one-sided',
          commands: [
            [...siteferry, 'signature', files.basis, '-o', signature, '--json'],
            [...siteferry, 'delta', signature, files.target, '-o', delta, '--json'],
          ],
          wireBytes: async ([signed, made]) =>
            (await toldBytes(signed, 'signatureBytes', signature)) + (await toldBytes(made, 'deltaBytes', delta)),
        },
        apply: {
          id: 'one-sided-patch',
          commands: [[...siteferry, 'patch', files.basis, delta, '-o', rebuilt, '--json']],
          rebuilt: { kind: 'file', path: rebuilt, sha256: files.targetSha256 },
        },
      };
    },
  };
}

/** The signature alone, as `rdiff signature` makes it. */
export function signatureTasks(file: string, siteferry: Command = ownCommand): Task[] {
  const job = 'one file';
  return [
    {
      job,
      needs: ['rdiff'],
      plan(place) {
        const out = join(place, 'sig');
        const commands = [['rdiff', 'signature', file, out]];
        return { make: { id: 'rdiff-signature', commands, wireBytes: async () => (await stat(out)).size } };
      },
    },
    {
      job,
      needs: [],
      plan(place) {
        const out = join(place, 'sig');
        const commands = [[...siteferry, 'signature', file, '-o', out, '--json']];
        const wireBytes = async ([told]: readonly string[]): Promise<number> => toldBytes(told, 'signatureBytes', out);
        return { make: { id: 'signature', commands, wireBytes } };
      },
    },
  ];
}

/** The size of the file at `path`, which must be what the command says of it. */
async function toldBytes(told: string | undefined, key: string, path: string): Promise<number> {
  const { size } = await stat(path);
  const said = z.record(z.string(), z.unknown()).parse(JSON.parse(told ?? ''))[key];
  if (said !== size) throw new Error(`Siteferry says ${key} ${String(said)}, but the file has ${size} bytes`);
  return size;
}
