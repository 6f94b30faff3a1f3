import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { adversarialCases } from '../../bench/delta/adversarial.ts';
import { targetBlock } from '../../bench/delta/growth.ts';
import { compressibleBytes, deBruijnLike, randomBytes, selfSimilar } from '../../bench/delta/seeded.ts';

function shortHash(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex').slice(0, 16);
}

test('made-up contents are the same on every machine', () => {
  assert.deepEqual(
    {
      random: shortHash(randomBytes(10_000, 'seed')),
      compressible: shortHash(compressibleBytes(10_000, 'seed')),
      deBruijn: shortHash(deBruijnLike(10_000, 1)),
      selfSimilar: shortHash(selfSimilar(100_000, 'seed')),
      growth: shortHash(targetBlock(7, 64)),
    },
    {
      random: '75656b0aeabed1b2',
      compressible: '4010775a64a35827',
      deBruijn: 'dccb09ed7a8faf80',
      selfSimilar: 'd1ae5ef08cee1b03',
      growth: '29a267aea49b48dd',
    },
  );
});

test('made-up contents are what their names say', () => {
  const share = (bytes: Buffer): number => gzipSync(bytes).byteLength / bytes.byteLength;
  assert.ok(share(randomBytes(100_000, 'a')) > 1);
  assert.ok(Math.abs(share(compressibleBytes(100_000, 'a')) - 0.55) < 0.1);
  assert.ok(share(selfSimilar(100_000, 'a')) < 0.2);
  const windows = new Set<string>();
  const letters = deBruijnLike(20_000, 1).toString('latin1');
  for (let at = 0; at + 29 <= letters.length; at += 1) windows.add(letters.slice(at, at + 29));
  assert.equal(windows.size, 20_000 - 28, 'a run of 29 letters comes twice');
});

test('adversarial cases have the size that was asked for, where they are not about size', () => {
  for (const { name, make } of adversarialCases) {
    const { basis, target } = make(4096);
    assert.ok(Math.abs(Math.max(basis.byteLength, target.byteLength) - 4096) <= 1, name);
  }
});

test('a block of a growing pair changes in a few places', () => {
  const [before, after] = [randomBytes(1_000_000, 'block 2'), targetBlock(2, 64)];
  assert.equal(after.byteLength, before.byteLength);
  const changed = before.filter((byte, index) => byte !== after[index]).byteLength;
  assert.ok(changed > 40 && changed < 70, `${changed} bytes differ`);
});
