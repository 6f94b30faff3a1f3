import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { chmod, lstat, mkdir, readFile, rename, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { realFiles } from '../../src/world/real-files.ts';
import { rejectsWithCode } from '../conformance/expect.ts';
import { filesConformance } from '../conformance/files.ts';
import { tempDirectory } from './temp.ts';

filesConformance('realFiles', async () => {
  const temp = await tempDirectory();
  return {
    files: realFiles(),
    root: temp.path,
    makeSymlink: (target, path) => symlink(target, path),
    hasHoles: () => hasHoles(temp.path),
    [Symbol.asyncDispose]: () => temp[Symbol.asyncDispose](),
  };
});

/** What the system itself says of a file nobody wrote to. */
async function hasHoles(directory: string): Promise<boolean> {
  const path = `${directory}/probe`;
  await writeFile(path, '');
  await truncate(path, 1024 * 1024);
  const { size, blocks } = await stat(path);
  await rm(path);
  // Windows tells another number here, and has holes only where they are asked for.
  return process.platform !== 'win32' && blocks * 512 < size;
}

test('realFiles open() refuses a fifo, a socket and a device without blocking', async () => {
  await using temp = await tempDirectory();
  execFileSync('mkfifo', [`${temp.path}/fifo`]);
  const server = createServer().listen(`${temp.path}/socket`);
  try {
    for (const name of [`${temp.path}/fifo`, `${temp.path}/socket`, '/dev/null']) {
      await rejectsWithCode(realFiles().open(name, 'read'), 'path-refused');
      await rejectsWithCode(realFiles().open(name, 'update'), 'path-refused');
    }
  } finally {
    server.close();
  }
});

test('realFiles list() and makeDirectory() refuse a link to a directory', async () => {
  await using temp = await tempDirectory();
  await mkdir(`${temp.path}/real`);
  await symlink('real', `${temp.path}/link`);
  await rejectsWithCode(realFiles().list(`${temp.path}/link`), 'path-refused');
  await rejectsWithCode(realFiles().makeDirectory(`${temp.path}/link`), 'path-refused');
  await realFiles().makeDirectory(`${temp.path}/link/below`);
  assert.deepEqual(await realFiles().list(`${temp.path}/real`), ['below']);
});

test('realFiles creates files and directories for the owner only', async () => {
  await using temp = await tempDirectory();
  await realFiles().makeDirectory(`${temp.path}/a/b`);
  await (await realFiles().open(`${temp.path}/a/b/file`, 'create')).close();
  assert.equal((await stat(`${temp.path}/a`)).mode & 0o777, 0o700);
  assert.equal((await stat(`${temp.path}/a/b/file`)).mode & 0o777, 0o600);
});

test('realFiles makeExecutable() gives nobody else anything', async () => {
  await using temp = await tempDirectory();
  const path = `${temp.path}/run`;
  for (const [mode, expected] of [
    [0o600, 0o700],
    [0o644, 0o744],
    [0o750, 0o750],
  ] as const) {
    await writeFile(path, '');
    await chmod(path, mode);
    await realFiles().makeExecutable(path);
    assert.equal((await stat(path)).mode & 0o777, expected);
  }
});

test('realFiles list() refuses a name that is not UTF-8 and names it escaped', async (context) => {
  if (process.platform !== 'linux') return context.skip('only Linux volumes hold such names');
  await using temp = await tempDirectory();
  const name = Buffer.from(`${temp.path}/bad\u00ff\n`, 'latin1');
  await writeFile(name, '');
  const error = await rejectsWithCode(realFiles().list(temp.path), 'path-refused');
  assert.match(error.message, /"bad\\xff\\x0a"/);
});

test('realFiles facts() knows the executable bit and fractions of milliseconds', async () => {
  await using temp = await tempDirectory();
  await writeFile(`${temp.path}/run`, '');
  await chmod(`${temp.path}/run`, 0o700);
  const facts = await realFiles().facts(`${temp.path}/run`);
  assert.equal(facts?.isExecutable, true);
  const stats = await lstat(`${temp.path}/run`);
  assert.ok(Math.abs((facts?.modifiedMs ?? 0) - stats.mtimeMs) < 1);
});

test('realFiles refuses a relative path and a lone surrogate as mistakes of the caller', async () => {
  await assert.rejects(realFiles().facts('relative'), TypeError);
  await assert.rejects(realFiles().facts('/tmp/\ud800'), TypeError);
  await assert.rejects(realFiles().facts('/tmp/\0'), TypeError);
});

test('realFiles write() to a full disk is disk-full', async (context) => {
  const isThere = await stat('/dev/full').catch(() => undefined);
  if (isThere === undefined || process.getuid?.() !== 0) return context.skip('needs root for a small tmpfs');
  await using temp = await tempDirectory();
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', temp.path], { stdio: 'ignore' });
  } catch {
    return context.skip('mount of a tmpfs is forbidden here');
  }
  try {
    await using handle = await realFiles().open(`${temp.path}/big`, 'create');
    await rejectsWithCode(handle.write(0, new Uint8Array(200_000)), 'disk-full');
    assert.ok((await realFiles().freeBytes(temp.path)) < 64 * 1024);
  } finally {
    execFileSync('umount', ['-l', temp.path]);
  }
});

test('realFiles lock() holds against another process, survives a rename of the way there, and dies with kill -9', async () => {
  await using temp = await tempDirectory();
  await mkdir(`${temp.path}/store`);
  const program = `
    import { realFiles } from ${JSON.stringify(new URL('../../src/world/real-files.ts', import.meta.url).href)};
    globalThis.held = await realFiles().lock(${JSON.stringify(`${temp.path}/store`)});
    console.log('held');
    setInterval(() => {}, 1000);
  `;
  await writeFile(`${temp.path}/holder.ts`, program);
  const child = spawn(process.execPath, [`${temp.path}/holder.ts`], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = new Promise((resolve) => child.once('exit', resolve));
  await new Promise((resolve) => child.stdout.once('data', resolve));
  await rejectsWithCode(realFiles().lock(`${temp.path}/store`), 'already-running');
  await symlink('store', `${temp.path}/alias`);
  await rejectsWithCode(realFiles().lock(`${temp.path}/alias`), 'already-running');
  child.kill('SIGKILL');
  await exited;
  await using _lock = await realFiles().lock(`${temp.path}/store`);
});

test('realFiles lock() does not keep a process alive', async () => {
  await using temp = await tempDirectory();
  await writeFile(
    `${temp.path}/ends.ts`,
    `import { realFiles } from ${JSON.stringify(new URL('../../src/world/real-files.ts', import.meta.url).href)};
     await realFiles().lock(${JSON.stringify(temp.path)});`,
  );
  execFileSync(process.execPath, [`${temp.path}/ends.ts`], { timeout: 10_000 });
});

test('realFiles handles name their file in failures', async () => {
  await using temp = await tempDirectory();
  await writeFile(`${temp.path}/a`, 'abc');
  await using handle = await realFiles().open(`${temp.path}/a`, 'read');
  const error = await rejectsWithCode(handle.write(0, Uint8Array.of(1)), 'disk-failed');
  assert.match(error.message, /Cannot write ".*\/a": the system answered EBADF, expected/);
  await rename(`${temp.path}/a`, `${temp.path}/b`);
  assert.equal(await readFile(`${temp.path}/b`, 'utf8'), 'abc');
});
