/** What every `Database` keeps. `directory` is absent or empty at first; opening it again must find what was written. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../src/model/limits.ts';
import type { Database, OpenDatabase, Reader, RecordValue } from '../../src/world/database.ts';
import { patternBytes } from './expect.ts';

export interface DatabaseSetUp extends AsyncDisposable {
  readonly openDatabase: OpenDatabase;
  readonly directory: string;
}

const VALUES: readonly RecordValue[] = [
  null,
  true,
  false,
  0,
  -1,
  1.5,
  2 ** 31,
  Number.MAX_SAFE_INTEGER,
  Number.MIN_SAFE_INTEGER,
  Number.POSITIVE_INFINITY,
  '',
  'grüße \u{1f600}',
  new Uint8Array(0),
  Uint8Array.of(0, 255, 128),
  [],
  [1, ['two', [null]]],
  {},
  { name: 'a', nested: { list: [1, 2], bytes: Uint8Array.of(1) }, 'any key ☃': false },
];

function keys(reader: Reader, table: string, range?: Parameters<Reader['entries']>[1]): readonly string[] {
  return reader.entries(table, range).map((entry) => entry.key);
}

export function databaseConformance(name: string, setUp: () => Promise<DatabaseSetUp>): void {
  recordConformance(name, setUp);
  rangeConformance(name, setUp);
  transactionConformance(name, setUp);
  bordersConformance(name, setUp);
}

function recordConformance(name: string, setUp: () => Promise<DatabaseSetUp>): void {
  test(`${name}: every kind of value comes back, also after reopening`, async () => {
    await using world = await setUp();
    {
      await using database = await world.openDatabase(world.directory);
      await database.transaction((transaction) => {
        for (const [index, value] of VALUES.entries()) transaction.put('values', `v${index}`, value);
      });
      for (const [index, value] of VALUES.entries()) assert.deepEqual(database.get('values', `v${index}`), value);
    }
    await using database = await world.openDatabase(world.directory);
    for (const [index, value] of VALUES.entries()) assert.deepEqual(database.get('values', `v${index}`), value);
    assert.equal(database.entries('values').length, VALUES.length);
  });

  test(`${name}: an undefined field is dropped`, async () => {
    await using world = await setUp();
    await using database = await world.openDatabase(world.directory);
    await database.transaction((transaction) => transaction.put('t', 'k', { kept: 1, dropped: undefined }));
    assert.deepEqual(Object.keys(database.get('t', 'k') as object), ['kept']);
  });

  test(`${name}: a stored value is a copy of the caller's, and a read one is the caller's own`, async () => {
    await using world = await setUp();
    await using database = await world.openDatabase(world.directory);
    const bytes = Uint8Array.of(1, 2, 3);
    await database.transaction((transaction) => {
      transaction.put('t', 'k', { bytes });
      bytes.fill(9);
    });
    const read = database.get('t', 'k') as { bytes: Uint8Array };
    assert.deepEqual(read.bytes, Uint8Array.of(1, 2, 3));
    read.bytes.fill(8);
    assert.deepEqual(database.get('t', 'k'), { bytes: Uint8Array.of(1, 2, 3) });
  });

  test(`${name}: put() replaces, remove() removes and is silent about none`, async () => {
    await using world = await setUp();
    await using database = await world.openDatabase(world.directory);
    await database.transaction((transaction) => {
      transaction.put('t', 'k', 1);
      transaction.put('t', 'k', 2);
      transaction.remove('t', 'never');
    });
    assert.equal(database.get('t', 'k'), 2);
    await database.transaction((transaction) => transaction.remove('t', 'k'));
    assert.equal(database.get('t', 'k'), undefined);
    assert.deepEqual(database.entries('t'), []);
  });

  test(`${name}: tables do not see each other's keys`, async () => {
    await using world = await setUp();
    await using database = await world.openDatabase(world.directory);
    await database.transaction((transaction) => {
      transaction.put('a', 'k', 'of a');
      transaction.put('a-b', 'k', 'of a-b');
      transaction.put('b', 'k', 'of b');
      transaction.put('a', '\u{10ffff}', 'last of a');
    });
    assert.equal(database.get('a', 'k'), 'of a');
    assert.deepEqual(keys(database, 'a'), ['k', '\u{10ffff}']);
    assert.deepEqual(keys(database, 'a-b'), ['k']);
    assert.deepEqual(database.entries('b'), [{ key: 'k', value: 'of b' }]);
    assert.deepEqual(database.entries('c'), []);
  });
}

function rangeConformance(name: string, setUp: () => Promise<DatabaseSetUp>): void {
  test(`${name}: entries() are ordered by the UTF-8 bytes of their keys`, async () => {
    await using world = await setUp();
    await using database = await world.openDatabase(world.directory);
    // By UTF-16 units the surrogate pair of U+1F600 would come before U+FF21; by UTF-8 bytes it comes after.
    const ordered = ['\0', '\0a', 'A', 'a', 'a\0', 'a\0b', 'a b', 'aa', 'b', 'é', '\uff21', '\u{1f600}'];
    await database.transaction((transaction) => {
      for (const key of ordered.toReversed()) transaction.put('t', key, null);
    });
    assert.deepEqual(keys(database, 't'), ordered);
  });

  test(`${name}: entries() honour start (included), end (not included) and limit`, async () => {
    await using world = await setUp();
    await using database = await world.openDatabase(world.directory);
    await database.transaction((transaction) => {
      for (const key of ['a', 'b', 'c', 'd']) transaction.put('t', key, key);
    });
    for (const reader of [database]) {
      assert.deepEqual(keys(reader, 't', { start: 'b' }), ['b', 'c', 'd']);
      assert.deepEqual(keys(reader, 't', { end: 'c' }), ['a', 'b']);
      assert.deepEqual(keys(reader, 't', { start: 'aa', end: 'cc' }), ['b', 'c']);
      assert.deepEqual(keys(reader, 't', { start: 'b', end: 'b' }), []);
      assert.deepEqual(keys(reader, 't', { start: 'c', end: 'b' }), []);
      assert.deepEqual(keys(reader, 't', { limit: 2 }), ['a', 'b']);
      assert.deepEqual(keys(reader, 't', { start: 'c', limit: 9 }), ['c', 'd']);
      assert.deepEqual(keys(reader, 't', { limit: 0 }), []);
      assert.deepEqual(keys(reader, 't', { start: 'e' }), []);
    }
  });

  test(`${name}: 3,000 entries come in one array that survives writing while looping`, async () => {
    await using world = await setUp();
    await using database = await world.openDatabase(world.directory);
    const key = (index: number): string => `k${String(index).padStart(6, '0')}`;
    await database.transaction((transaction) => {
      for (let index = 0; index < 3000; index += 1) transaction.put('t', key(index), { index });
    });
    const seen = await database.transaction((transaction) => {
      let count = 0;
      for (const entry of transaction.entries('t')) {
        assert.equal(entry.key, key(count));
        transaction.remove('t', entry.key);
        count += 1;
      }
      return count;
    });
    assert.equal(seen, 3000);
    assert.deepEqual(database.entries('t'), []);
  });
}

function transactionConformance(name: string, setUp: () => Promise<DatabaseSetUp>): void {
  test(`${name}: a transaction sees its own writes; readers see them when it resolved`, async () => {
    await using world = await setUp();
    await using database = await world.openDatabase(world.directory);
    await database.transaction((transaction) => transaction.put('t', 'old', 0));
    const promise = database.transaction((transaction) => {
      transaction.put('t', 'k', 1);
      transaction.remove('t', 'old');
      assert.equal(transaction.get('t', 'k'), 1);
      assert.equal(transaction.get('t', 'old'), undefined);
      assert.deepEqual(transaction.entries('t'), [{ key: 'k', value: 1 }]);
      return 'result';
    });
    assert.equal(database.get('t', 'k'), undefined);
    assert.equal(await promise, 'result');
    assert.equal(database.get('t', 'k'), 1);
    assert.deepEqual(keys(database, 't'), ['k']);
  });

  test(`${name}: a transaction that throws writes nothing and rejects with what it threw`, async () => {
    await using world = await setUp();
    {
      await using database = await world.openDatabase(world.directory);
      await database.transaction((transaction) => transaction.put('t', 'kept', 1));
      const thrown = new Error('no');
      const promise = database.transaction((transaction) => {
        transaction.put('t', 'k', 1);
        transaction.put('t', 'kept', 2);
        transaction.remove('t', 'kept');
        throw thrown;
      });
      await assert.rejects(promise, (error) => error === thrown);
      assert.deepEqual(database.entries('t'), [{ key: 'kept', value: 1 }]);
      await database.transaction((transaction) => transaction.put('t', 'after', 3));
    }
    await using database = await world.openDatabase(world.directory);
    assert.deepEqual(keys(database, 't'), ['after', 'kept']);
  });

  test(`${name}: transactions started together run one after another; one that throws harms no other`, async () => {
    await using world = await setUp();
    await using database = await world.openDatabase(world.directory);
    const promises = Array.from({ length: 40 }, (_, index) =>
      database.transaction((transaction) => {
        const before = transaction.get('t', 'count') ?? 0;
        assert.ok(typeof before === 'number');
        transaction.put('t', 'count', before + 1);
        transaction.put('t', `by-${index}`, before);
        if (index % 4 === 3) throw new RangeError(`refused ${index}`);
        return before + 1;
      }),
    );
    const outcomes = await Promise.allSettled(promises);
    const results = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    assert.deepEqual(
      results,
      Array.from({ length: 30 }, (_, index) => index + 1),
    );
    assert.equal(outcomes.filter((outcome) => outcome.status === 'rejected').length, 10);
    assert.equal(database.get('t', 'count'), 30);
    assert.equal(database.get('t', 'by-3'), undefined);
    assert.equal(database.entries('t').length, 31);
  });

  test(`${name}: closing waits for transactions already started`, async () => {
    await using world = await setUp();
    let promise: Promise<void>;
    {
      await using database: Database = await world.openDatabase(world.directory);
      promise = database.transaction((transaction) => transaction.put('t', 'k', 'late'));
    }
    await promise;
    await using database = await world.openDatabase(world.directory);
    assert.equal(database.get('t', 'k'), 'late');
  });

  test(`${name}: a closed database refuses work with a TypeError`, async () => {
    await using world = await setUp();
    const database = await world.openDatabase(world.directory);
    await database[Symbol.asyncDispose]();
    await database[Symbol.asyncDispose]();
    assert.throws(() => database.get('t', 'k'), TypeError);
    assert.throws(() => database.entries('t'), TypeError);
    await assert.rejects(
      database.transaction(() => null),
      TypeError,
    );
  });
}

function bordersConformance(name: string, setUp: () => Promise<DatabaseSetUp>): void {
  test(`${name}: keys and tables are accepted up to their limit and refused beyond it`, async () => {
    await using world = await setUp();
    await using database = await world.openDatabase(world.directory);
    const longest = 'é'.repeat(limits.databaseKeyBytesMax / 2);
    const table = 'a'.repeat(40);
    await database.transaction((transaction) => transaction.put(table, longest, 1));
    assert.equal(database.get(table, longest), 1);
    assert.deepEqual(database.entries(table, { start: longest }), [{ key: longest, value: 1 }]);
    for (const [badTable, badKey] of [
      ['t', ''],
      ['t', `${longest}x`],
      ['t', '\ud800'],
      ['', 'k'],
      [`${table}a`, 'k'],
      ['T', 'k'],
      ['a b', 'k'],
    ] as const) {
      await assert.rejects(
        database.transaction((transaction) => transaction.put(badTable, badKey, 1)),
        RangeError,
      );
      assert.throws(() => database.get(badTable, badKey), RangeError);
    }
  });

  test(`${name}: values are accepted up to their limit and refused beyond it`, async () => {
    await using world = await setUp();
    await using database = await world.openDatabase(world.directory);
    // A byte string of this length has a head of 5 bytes in msgpack.
    const longest = patternBytes(limits.databaseValueBytesMax - 5);
    await database.transaction((transaction) => transaction.put('t', 'k', longest));
    assert.deepEqual(database.get('t', 'k'), longest);
    await assert.rejects(
      database.transaction((transaction) => transaction.put('t', 'k', patternBytes(longest.length + 1))),
      RangeError,
    );
    assert.deepEqual(database.get('t', 'k'), longest);
  });

  test(`${name}: what msgpack would alter is refused with a TypeError`, async () => {
    await using world = await setUp();
    await using database = await world.openDatabase(world.directory);
    const values: readonly unknown[] = [undefined, [undefined], 1n, () => 1, new Date(0), new Map(), '\ud800'];
    for (const value of [...values, JSON.parse('{"__proto__":1}'), { ['\udc00']: 1 }]) {
      await assert.rejects(
        database.transaction((transaction) => transaction.put('t', 'k', value as RecordValue)),
        TypeError,
      );
    }
    assert.deepEqual(database.entries('t'), []);
  });
}
