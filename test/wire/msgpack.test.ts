import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decode, encode } from '@msgpack/msgpack';
import fc from 'fast-check';
import { decodeForeign, encodeOwn, encodeWithList } from '../../src/wire/msgpack.ts';

const bounds = { itemCountMax: 10_000 };
const read = (bytes: Uint8Array): unknown => decodeForeign(bytes, 'a test', bounds);

/** `depth` nested headers, each claiming the most items its form can. */
function bomb(header: readonly number[], depth: number): Uint8Array {
  return Uint8Array.from({ length: depth * header.length }, (_, index) => header[index % header.length] ?? 0);
}

test('decodeForeign() refuses bombs of every container form before the decoder sees them', () => {
  for (const header of [
    [0xdd, 0xff, 0xff, 0xff, 0xff],
    [0xdf, 0xff, 0xff, 0xff, 0xff],
    [0xdc, 0xff, 0xff],
    [0xde, 0xff, 0xff],
    [0x9f],
    [0x8f],
  ]) {
    for (const depth of [1, 2, 64, 10_000]) assert.throws(() => read(bomb(header, depth)), { code: 'format-invalid' });
  }
  // Deep but honest in its counts: [[[…]]].
  assert.throws(() => read(bomb([0x91], 100_000)), /nested deeper/);
});

test('decodeForeign() refuses more values than allowed, extensions, truncation and trailing bytes', () => {
  assert.throws(() => read(encode(Array.from({ length: 10_000 }, () => 0))), /more than 10000 values/);
  assert.throws(() => read(Uint8Array.of(0xd4, 1, 2)), /extension/);
  assert.throws(() => read(Uint8Array.of(0xc1)), /extension or reserved/);
  assert.throws(() => read(Uint8Array.of(0xd9, 5, 65)), /ends early/);
  assert.throws(() => read(Uint8Array.of(0xdb, 0xff)), /ends early/);
  assert.throws(() => read(new Uint8Array(0)), /ends early/);
  assert.throws(() => read(Uint8Array.of(0x01, 0x02)), /bytes follow/);
});

test('decodeForeign() agrees with the decoder on whatever it lets through', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      let value: unknown;
      try {
        value = read(bytes);
      } catch {
        return;
      }
      assert.deepEqual(value, decode(bytes));
    }),
    { numRuns: 20_000 },
  );
});

test('decodeForeign() refuses a key that would change what an object is', () => {
  const bytes = Uint8Array.of(0x81, 0xa9, ...Buffer.from('__proto__'), 0xc2);
  assert.throws(() => read(bytes), { code: 'format-invalid' });
});

test('decodeForeign() lets every document of ours through', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 8 }), (value) => {
      // Refused by the decoder, and named by no document of ours.
      fc.pre(!JSON.stringify(value).includes('"__proto__"'));
      assert.deepEqual(read(encode(value)), decode(encode(value)));
    }),
    { numRuns: 2_000 },
  );
});

test('encodeWithList() gives the bytes of encodeOwn(), at every length at which a head or a slice changes', () => {
  for (const count of [0, 1, 15, 16, 17, 1023, 1024, 1025, 2048, 65_535, 65_536, 70_000]) {
    const items = Array.from({ length: count }, (_, index) => [
      `path ${index}`,
      'f',
      index,
      Uint8Array.of(index % 256),
    ]);
    const slice = (start: number, end: number): unknown[] => items.slice(start, end);
    const streamed = encodeWithList({ name: 'x', version: 7 }, 'entries', { count, slice });
    assert.equal(Buffer.compare(streamed, encodeOwn({ name: 'x', version: 7, entries: items })), 0, `${count} items`);
  }
});
