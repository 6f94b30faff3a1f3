import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FileContent } from './file-content.ts';
import { Seeded } from './seeded.ts';

const BLOCK_BYTES = 4096;

test('FileContent counts the blocks that were written, and no hole', () => {
  const content = new FileContent();
  assert.equal(content.allocatedBytes, 0);
  content.write(0, new Uint8Array(1));
  assert.equal(content.allocatedBytes, BLOCK_BYTES);
  content.write(BLOCK_BYTES - 1, new Uint8Array(2));
  assert.equal(content.allocatedBytes, 2 * BLOCK_BYTES);
  content.write(100 * BLOCK_BYTES, new Uint8Array(BLOCK_BYTES));
  assert.equal(content.allocatedBytes, 3 * BLOCK_BYTES);
  content.write(1000 * BLOCK_BYTES, new Uint8Array(0));
  content.truncate(2000 * BLOCK_BYTES);
  assert.deepEqual([content.allocatedBytes, content.bytes], [3 * BLOCK_BYTES, 2000 * BLOCK_BYTES]);
});

test('FileContent gives blocks beyond the end back', () => {
  const content = new FileContent();
  content.write(0, new Uint8Array(10 * BLOCK_BYTES));
  content.truncate(BLOCK_BYTES + 1);
  assert.equal(content.allocatedBytes, 2 * BLOCK_BYTES);
  content.truncate(10 * BLOCK_BYTES);
  assert.equal(content.allocatedBytes, 2 * BLOCK_BYTES);
  content.powerCut('all', new Seeded('cut'));
  assert.deepEqual([content.allocatedBytes, content.bytes], [0, 0]);
});
