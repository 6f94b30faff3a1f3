import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { blockDigestsOf, TreeHash, treeHashOf } from '../src/index.ts';
import { piecesOf, pseudoRandom } from './material.ts';

const BLOCK = 4 * 1024 * 1024;

/** By its definition in FORMAT.md. */
function byDefinition(bytes: Uint8Array): string {
  const root = createHash('sha256');
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(bytes.length));
  root.update(length);
  for (const block of piecesOf(bytes, BLOCK)) root.update(createHash('sha256').update(block).digest());
  return root.digest('hex');
}

test('golden vectors: another value is another identity', () => {
  const hex = (bytes: Uint8Array) => Buffer.from(treeHashOf(blockDigestsOf(bytes), bytes.length)).toString('hex');
  assert.deepEqual(
    [new Uint8Array(0), Uint8Array.of(0x41), new Uint8Array(BLOCK + 1)].map((bytes) => hex(bytes).slice(0, 16)),
    ['af5570f5a1810b7a', '5dde1424cb868624', 'd73b9ee643533b5c'],
  );
});

test('TreeHash and treeHashOf() are the definition, on both sides of each block, however divided', () => {
  const whole = pseudoRandom(2 * BLOCK + 1, 1);
  for (const bytes of [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK - 1, 2 * BLOCK, 2 * BLOCK + 1]) {
    const content = whole.subarray(0, bytes);
    const wanted = byDefinition(content);
    assert.equal(Buffer.from(treeHashOf(blockDigestsOf(content), bytes)).toString('hex'), wanted);
    for (const pieceBytes of [100_003, BLOCK, BLOCK + 1, 3 * BLOCK]) {
      const streaming = new TreeHash();
      streaming.update(new Uint8Array(0));
      for (const piece of piecesOf(content, pieceBytes)) streaming.update(piece);
      assert.equal(Buffer.from(streaming.digest()).toString('hex'), wanted);
    }
  }
});

test('treeHashOf() refuses digests of another number of blocks', () => {
  assert.throws(() => treeHashOf(new Uint8Array(32), 0), RangeError);
  assert.throws(() => treeHashOf(new Uint8Array(0), 1), RangeError);
  assert.throws(() => treeHashOf(new Uint8Array(33), 1), RangeError);
  assert.throws(() => treeHashOf(new Uint8Array(32), BLOCK + 1), RangeError);
});
