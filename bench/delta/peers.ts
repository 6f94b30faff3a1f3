/** What other tools do to bring the target to a place that holds the basis, with the flags a knowing user gives them. */
import { execFile } from 'node:child_process';
import { constants, copyFile, cp, mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { FilePair, PreparedPair } from './pair.ts';
import type { RowId } from './row.ts';
import type { Rebuilt, Step, Task } from './task.ts';

/** bsdiff needs minutes and 17 times the basis in memory; below this it is quick enough to run always. */
const quickBsdiffBytesMax = 30_000_000;

const run = promisify(execFile);

/** In the order of the table. */
export function peerTasks(pair: PreparedPair): Task[] {
  const isFolders = pair.kind === 'folders';
  const wholeJob = isFolders ? 'tar' : 'file';
  const { whole, largest } = pair;
  const tasks = [
    compressWhole(whole, wholeJob),
    rsyncTree(pair),
    rsyncWhole(whole, wholeJob),
    rdiff(whole, wholeJob),
    casync(pair),
    zstdPatch(whole, wholeJob, 3),
    isFolders ? xdelta3OfTars(pair) : xdelta3(whole, 'file', wholeXdelta3),
    zstdPatch(whole, wholeJob, 19),
  ];
  if (isFolders) tasks.push({ ...bsdiff(whole, 'tar', { make: 'bsdiff', apply: 'bspatch' }), isSlow: true });
  if (largest !== undefined) {
    tasks.push(xdelta3(largest, largest.path, { make: 'file-xdelta3', apply: 'file-xdelta3-decode' }));
    tasks.push(bsdiff(largest, largest.path, { make: 'file-bsdiff', apply: 'file-bspatch' }));
  }
  if (!isFolders) tasks.push(bsdiff(whole, 'file', { make: 'file-bsdiff', apply: 'file-bspatch' }));
  return tasks;
}

const sizeOf = async (path: string): Promise<number> => (await stat(path)).size;

function rebuiltFile(files: FilePair, path: string): Rebuilt {
  return { kind: 'file', path, sha256: files.targetSha256 };
}

/** What the wire carries when nobody has an older version. */
function compressWhole(files: FilePair, job: string): Task {
  return {
    job,
    needs: ['zstd'],
    plan(place) {
      const [packed, rebuilt] = [join(place, 'packed'), join(place, 'rebuilt')];
      return {
        make: {
          id: 'zstd-whole',
          commands: [['zstd', '-q', '-3', '-T2', '-f', files.target, '-o', packed]],
          wireBytes: () => sizeOf(packed),
        },
        apply: {
          id: 'zstd-whole-decode',
          commands: [['zstd', '-q', '-d', '-f', packed, '-o', rebuilt]],
          rebuilt: rebuiltFile(files, rebuilt),
        },
      };
    },
  };
}

const rsyncFlags = ['--no-whole-file', '-z', '--zc=zstd', '--ignore-times', '--stats'];

/** Bytes that went either way, from what `--stats` prints. */
export function parseRsyncStats(text: string): number {
  const counts = [...text.matchAll(/^Total bytes (?:sent|received): ([\d,.]+)$/gm)];
  if (counts.length !== 2) throw new Error('Cannot read the statistics of rsync: two totals are expected');
  return counts.reduce((sum, [, digits = '']) => sum + Number(digits.replaceAll(/[,.]/g, '')), 0);
}

function rsyncTree(pair: PreparedPair): Task {
  return {
    job: 'tree',
    needs: ['rsync'],
    plan(place) {
      const tree = join(place, 'tree');
      return {
        make: {
          id: 'rsync-tree',
          prepare: () =>
            cp(pair.basisTree, tree, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true }),
          commands: [['rsync', '-a', '--delete', '--fuzzy', ...rsyncFlags, `${pair.targetTree}/`, `${tree}/`]],
          wireBytes: async ([text = '']) => parseRsyncStats(text),
          rebuilt: { kind: 'tree', path: tree, sha256: pair.targetTreeSha256 },
        },
      };
    },
  };
}

function rsyncWhole(files: FilePair, job: string): Task {
  return {
    job,
    needs: ['rsync'],
    plan(place) {
      const [there, here] = [join(place, 'there'), join(place, 'x')];
      return {
        make: {
          id: 'rsync-stream',
          prepare: async () => {
            await mkdir(there);
            await copyFile(files.basis, join(there, 'x'), constants.COPYFILE_FICLONE);
            await copyFile(files.target, here, constants.COPYFILE_FICLONE);
          },
          commands: [['rsync', ...rsyncFlags, here, join(there, 'x')]],
          wireBytes: async ([text = '']) => parseRsyncStats(text),
          rebuilt: rebuiltFile(files, join(there, 'x')),
        },
      };
    },
  };
}

/** One-sided: the signature goes one way, the delta the other. rdiff does not compress, so zstd does. */
function rdiff(files: FilePair, job: string): Task {
  return {
    job,
    needs: ['rdiff', 'zstd'],
    plan(place) {
      const [signature, delta, packed] = [join(place, 'sig'), join(place, 'delta'), join(place, 'delta.zst')];
      const [unpacked, rebuilt] = [join(place, 'unpacked'), join(place, 'rebuilt')];
      return {
        make: {
          id: 'rdiff',
          commands: [
            ['rdiff', 'signature', files.basis, signature],
            ['rdiff', 'delta', signature, files.target, delta],
            ['zstd', '-q', '-3', '-f', delta, '-o', packed],
          ],
          wireBytes: async () => (await sizeOf(signature)) + (await sizeOf(packed)),
        },
        apply: {
          id: 'rdiff-patch',
          commands: [
            ['zstd', '-q', '-d', '-f', packed, '-o', unpacked],
            ['rdiff', '-f', 'patch', files.basis, unpacked, rebuilt],
          ],
          rebuilt: rebuiltFile(files, rebuilt),
        },
      };
    },
  };
}

/** New chunks and the index; the receiver's store of chunks is made before, unmeasured. */
function casync(pair: PreparedPair): Task {
  return {
    job: 'tree',
    needs: ['casync'],
    plan(place) {
      const [store, index] = [join(place, 'store'), join(place, 'target.caidx')];
      let basisBytes = 0;
      return {
        make: {
          id: 'casync',
          prepare: async (signal) => {
            await mkdir(store);
            await run('casync', ['make', `--store=${store}`, join(place, 'basis.caidx'), pair.basisTree], { signal });
            basisBytes = await bytesBelow(store);
          },
          commands: [['casync', 'make', `--store=${store}`, index, pair.targetTree]],
          wireBytes: async () => (await bytesBelow(store)) - basisBytes + (await sizeOf(index)),
        },
      };
    },
  };
}

async function bytesBelow(directory: string): Promise<number> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const sizes = await Promise.all(
    entries.filter((entry) => entry.isFile()).map((entry) => sizeOf(join(entry.parentPath, entry.name))),
  );
  return sizes.reduce((sum, bytes) => sum + bytes, 0);
}

function zstdPatch(files: FilePair, job: string, level: 3 | 19): Task {
  const flags = ['-q', '-f', '--long=31', `--patch-from=${files.basis}`];
  return {
    job,
    needs: ['zstd'],
    isSlow: level === 19,
    plan(place) {
      const [delta, rebuilt] = [join(place, 'delta'), join(place, 'rebuilt')];
      return {
        make: {
          id: level === 19 ? 'zstd-best' : 'zstd-patch',
          commands: [['zstd', `-${level}`, ...flags, files.target, '-o', delta]],
          wireBytes: () => sizeOf(delta),
        },
        apply: {
          id: level === 19 ? 'zstd-best-decode' : 'zstd-patch-decode',
          commands: [['zstd', '-d', ...flags, delta, '-o', rebuilt]],
          rebuilt: rebuiltFile(files, rebuilt),
        },
      };
    },
  };
}

interface StepIds {
  readonly make: RowId;
  readonly apply: RowId;
}

const wholeXdelta3: StepIds = { make: 'xdelta3', apply: 'xdelta3-decode' };

/** The window must hold the whole basis, or matches far away are lost; 2 GiB is the most xdelta3 takes. */
function xdelta3Window(basisBytes: number): string {
  return String(Math.min(2 ** 31, 2 ** Math.max(29, Math.ceil(Math.log2(basisBytes + 1)))));
}

function xdelta3(files: FilePair, job: string, { make, apply }: StepIds): Task {
  const window = xdelta3Window(files.basisBytes);
  return {
    job,
    needs: ['xdelta3'],
    plan(place) {
      const [delta, rebuilt] = [join(place, 'delta'), join(place, 'rebuilt')];
      return {
        make: {
          id: make,
          commands: [['xdelta3', '-f', '-1', '-B', window, '-e', '-s', files.basis, files.target, delta]],
          wireBytes: () => sizeOf(delta),
        },
        apply: {
          id: apply,
          commands: [['xdelta3', '-f', '-B', window, '-d', '-s', files.basis, delta, rebuilt]],
          rebuilt: rebuiltFile(files, rebuilt),
        },
      };
    },
  };
}

/**
 * Rebuilds the tar, and then the tree: through a pipe, which costs less than a tar on disk. Unlike `siteferry patch` it
 * checks an Adler-32 per window, no SHA-256, and nothing of it waits for the disk.
 */
function xdelta3OfTars({ whole, targetTreeSha256 }: PreparedPair): Task {
  const task = xdelta3(whole, 'tar', wholeXdelta3);
  const decode = 'xdelta3 -B "$1" -d -c -s "$2" "$3" | tar -xf - -C "$4"';
  return {
    ...task,
    plan(place) {
      const tree = join(place, 'tree');
      const unpack: Step = {
        id: 'xdelta3-decode-tree',
        job: 'tree',
        prepare: async () => void (await mkdir(tree)),
        commands: [
          ['sh', '-c', decode, 'sh', xdelta3Window(whole.basisBytes), whole.basis, join(place, 'delta'), tree],
        ],
        rebuilt: { kind: 'tree', path: tree, sha256: targetTreeSha256 },
      };
      return { ...task.plan(place), unpack };
    },
  };
}

function bsdiff(files: FilePair, job: string, { make, apply }: StepIds): Task {
  return {
    job,
    needs: ['bsdiff', 'bspatch'],
    isSlow: files.targetBytes >= quickBsdiffBytesMax,
    plan(place) {
      const [delta, rebuilt] = [join(place, 'delta'), join(place, 'rebuilt')];
      return {
        make: { id: make, commands: [['bsdiff', files.basis, files.target, delta]], wireBytes: () => sizeOf(delta) },
        apply: {
          id: apply,
          commands: [['bspatch', files.basis, rebuilt, delta]],
          rebuilt: rebuiltFile(files, rebuilt),
        },
      };
    },
  };
}
