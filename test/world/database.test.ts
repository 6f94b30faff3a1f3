import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { readFile, truncate, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import type { Database } from '../../src/world/database.ts';
import { DATABASE_FILE_NAME } from '../../src/world/database-file.ts';
import { decodeRecord, encodeRecord } from '../../src/world/database-record.ts';
import { openRealDatabase } from '../../src/world/real-database.ts';
import { databaseConformance } from '../conformance/database.ts';
import { patternBytes, rejectsWithCode } from '../conformance/expect.ts';
import { tempDirectory } from './temp.ts';

databaseConformance('openRealDatabase', async () => {
  const temp = await tempDirectory();
  return {
    openDatabase: openRealDatabase,
    directory: `${temp.path}/state`,
    [Symbol.asyncDispose]: () => temp[Symbol.asyncDispose](),
  };
});

test('encodeRecord() is frozen: xxh64 over table, key and msgpack', () => {
  const record = encodeRecord('packages', 'pkg-1', { name: 'office', version: 3, hash: Uint8Array.of(1, 2) });
  assert.equal(
    Buffer.from(record).toString('hex'),
    '25438a5a7a21fafa83a46e616d65a66f6666696365a776657273696f6e03a468617368c4020102',
  );
});

test('decodeRecord() refuses another key, another table, every flipped bit and every shorter record', () => {
  const record = encodeRecord('t', 'k', { a: [1, 'two'] });
  assert.deepEqual(decodeRecord('t', 'k', record), { a: [1, 'two'] });
  assert.throws(() => decodeRecord('t', 'l', record), { code: 'database-damaged' });
  assert.throws(() => decodeRecord('u', 'k', record), { code: 'database-damaged' });
  for (let bit = 0; bit < record.length * 8; bit += 1) {
    const flipped = record.slice();
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.throws(() => decodeRecord('t', 'k', flipped), { code: 'database-damaged' });
  }
  for (let length = 0; length < record.length; length += 1) {
    assert.throws(() => decodeRecord('t', 'k', record.subarray(0, length)), { code: 'database-damaged' });
  }
});

/** A closed database of 2,000 records, and its file. */
async function filledFile(directory: string): Promise<string> {
  await using database = await openRealDatabase(directory);
  await database.transaction((transaction) => {
    for (let index = 0; index < 2000; index += 1) {
      transaction.put('filled', `key-${index}`, { index, bytes: patternBytes(64) });
    }
  });
  return `${directory}/${DATABASE_FILE_NAME}`;
}

function assertFilled(database: Database): void {
  const entries = database.entries('filled');
  assert.equal(entries.length, 2000);
  for (const { key, value } of entries) {
    assert.deepEqual(value, { index: Number(key.slice(4)), bytes: patternBytes(64) });
  }
}

test('openRealDatabase() finds a flipped bit in any record', async () => {
  await using temp = await tempDirectory();
  const path = await filledFile(temp.path);
  const bytes = await readFile(path);
  for (const marker of ['key-0', 'key-1999']) {
    const flipped = Buffer.from(bytes);
    const at = flipped.lastIndexOf(marker) + marker.length + 12;
    flipped[at] = (flipped[at] ?? 0) ^ 4;
    await writeFile(path, flipped);
    const error = await rejectsWithCode(openRealDatabase(temp.path), 'database-damaged');
    assert.notEqual(error.hint, undefined);
  }
  await writeFile(path, bytes);
  await using database = await openRealDatabase(temp.path);
  assertFilled(database);
});

test('openRealDatabase() finds damage anywhere, or the damage harms no record', async () => {
  await using temp = await tempDirectory();
  const path = await filledFile(temp.path);
  const bytes = await readFile(path);
  const pageCount = bytes.length / 4096;
  const damages: ((copy: Buffer) => Buffer)[] = [
    (copy) => copy.subarray(0, 0),
    (copy) => copy.subarray(0, 4096),
    (copy) => copy.subarray(0, bytes.length >> 1),
    (copy) => copy.fill(0, 0, 8192),
    (copy) => copy.fill(0),
  ];
  for (let page = 2; page < pageCount; page += Math.ceil(pageCount / 3)) {
    damages.push((copy) => copy.fill(0, page * 4096, (page + 1) * 4096));
    damages.push((copy) => {
      copy[page * 4096 + 13] = (copy[page * 4096 + 13] ?? 0) ^ 1;
      return copy;
    });
  }
  let foundCount = 0;
  for (const damage of damages) {
    await writeFile(path, damage(Buffer.from(bytes)));
    try {
      await using database = await openRealDatabase(temp.path);
      assertFilled(database);
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'database-damaged', String(error));
      foundCount += 1;
    }
  }
  assert.ok(foundCount >= damages.length / 2, `${foundCount} of ${damages.length} damages were found`);
});

test('openRealDatabase() survives a truncated file that would kill its reader by SIGBUS', async () => {
  await using temp = await tempDirectory();
  const path = await filledFile(temp.path);
  await truncate(path, 3 * 4096);
  const error = await rejectsWithCode(openRealDatabase(temp.path), 'database-damaged');
  assert.match(error.message, /its check ended with/);
});

test('openRealDatabase() refuses a second opening in one process as a mistake', async () => {
  await using temp = await tempDirectory();
  await using _database = await openRealDatabase(temp.path);
  await assert.rejects(openRealDatabase(temp.path), TypeError);
});

test('openRealDatabase() keeps every acknowledged transaction through kill -9', async () => {
  await using temp = await tempDirectory();
  const url = new URL('../../src/world/real-database.ts', import.meta.url).href;
  await writeFile(
    `${temp.path}/writer.ts`,
    `import { openRealDatabase } from ${JSON.stringify(url)};
     const database = await openRealDatabase(${JSON.stringify(`${temp.path}/db`)});
     for (let index = 0; ; index += 1) {
       await database.transaction((transaction) => transaction.put('t', 'k' + index, index));
       process.stdout.write(index + '\\n');
     }`,
  );
  const child = spawn(process.execPath, [`${temp.path}/writer.ts`], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = new Promise((resolve) => child.once('close', resolve));
  let said = '';
  child.stdout.on('data', (bytes: Buffer) => {
    said += bytes.toString();
    if (said.length > 400) child.kill('SIGKILL');
  });
  await exited;
  const lines = said.slice(0, said.lastIndexOf('\n')).split('\n');
  await using database = await openRealDatabase(`${temp.path}/db`);
  for (const line of lines) assert.equal(database.get('t', `k${line}`), Number(line));
});

test('work that is asynchronous is refused and rolled back; a transaction kept beyond its work is dead', async () => {
  await using temp = await tempDirectory();
  await using database = await openRealDatabase(temp.path);
  let kept: { put(table: string, key: string, value: number): void } | undefined;
  const promise = database.transaction(async (transaction) => {
    kept = transaction;
    transaction.put('t', 'k', 1);
  });
  await assert.rejects(promise, TypeError);
  assert.equal(database.get('t', 'k'), undefined);
  assert.throws(() => kept?.put('t', 'k', 1), TypeError);
});

test('a full disk rejects transactions with disk-full and neither kills nor harms the database', async (context) => {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return context.skip('needs root for a small tmpfs');
  await using temp = await tempDirectory();
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', temp.path], { stdio: 'ignore' });
  } catch {
    return context.skip('mount of a tmpfs is forbidden here');
  }
  const strays: unknown[] = [];
  const collect = (error: unknown): void => void strays.push(error);
  process.on('unhandledRejection', collect);
  try {
    let acknowledged = 0;
    {
      await using database = await openRealDatabase(temp.path);
      const put = (index: number): Promise<void> =>
        database.transaction((transaction) => transaction.put('t', `k${index}`, patternBytes(50_000)));
      const filled = await rejectsWithCode(async () => {
        for (; acknowledged < 100; acknowledged += 1) await put(acknowledged);
      }, 'disk-full');
      assert.match(filled.message, /expected free space/);
      for (const outcome of await Promise.allSettled([put(1000), put(1001), put(1002)])) {
        assert.equal(outcome.status === 'rejected' && (outcome.reason as { code: string }).code, 'disk-full');
      }
      assert.ok(acknowledged > 10);
      assert.equal(database.entries('t').length, acknowledged);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await using database = await openRealDatabase(temp.path);
    assert.equal(database.entries('t').length, acknowledged);
    assert.deepEqual(strays, []);
  } finally {
    process.off('unhandledRejection', collect);
    execFileSync('umount', ['-l', temp.path]);
  }
});
