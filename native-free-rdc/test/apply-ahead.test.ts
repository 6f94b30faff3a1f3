/** Applying a delta with several segments under way, in memory that is used again. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { before, describe, test } from 'node:test';
import {
  type ApplyDeltaOptions,
  type ApplyJobs,
  applyDelta,
  createDiff,
  RdcError,
  rebuildSegment,
  type SegmentParts,
} from '../src/index.ts';
import { collect, MemoryBasis, pseudoRandom, randomIntegers, rejectsWith, textLike } from './material.ts';

const MIB = 1024 * 1024;

describe('applyDelta() with several segments under way', () => {
  const basis = Buffer.concat([textLike(6 * MIB, 1), pseudoRandom(7 * MIB, 2)]);
  const target = Buffer.concat([basis.subarray(5 * MIB), textLike(9000, 3), basis.subarray(0, 5 * MIB)]);
  let delta: Buffer = Buffer.alloc(0);
  before(async () => {
    for (let at = 1000; at < target.length; at += 5003) target[at] = (target[at] as number) + 7;
    delta = await collect(createDiff(new MemoryBasis(basis), [target]));
  });

  const random = randomIntegers(4);
  const late = async (): Promise<void> => {
    for (let turns = random(20); turns > 0; turns--) await Promise.resolve();
  };
  /** As threads do it: late, out of order, the segment back as another view of the same memory. */
  function jobsOf(aheadCount: number, onStart: () => void = () => undefined): ApplyJobs {
    return {
      aheadCount,
      allocate: (bytes) => new Uint8Array(new SharedArrayBuffer(bytes)),
      rebuildSegment: async (parts: SegmentParts) => {
        onStart();
        await late();
        const rebuilt = await rebuildSegment(parts);
        return new Uint8Array(rebuilt.buffer, rebuilt.byteOffset, rebuilt.byteLength);
      },
    };
  }

  /** Consumes each piece before it asks for the next one, as who is lent something must. */
  async function hashOf(given: Uint8Array, options: ApplyDeltaOptions): Promise<string> {
    const sha256 = createHash('sha256');
    for await (const piece of applyDelta(new MemoryBasis(basis), [given], options)) {
      await late();
      sha256.update(piece);
    }
    return sha256.digest('hex');
  }

  test('the target does not depend on how many are, nor on whose memory it is', async () => {
    const expected = createHash('sha256').update(target).digest('hex');
    for (const isLent of [false, true]) {
      assert.equal(await hashOf(delta, { isLent }), expected);
      for (const aheadCount of [1, 2, 7])
        assert.equal(await hashOf(delta, { isLent, jobs: jobsOf(aheadCount) }), expected);
    }
    const kept = await collect(applyDelta(new MemoryBasis(basis), [delta], { jobs: jobsOf(3) }));
    assert.ok(kept.equals(target), 'pieces that are not lent stay as they are');
  });

  test('what is lent is a few buffers, however long the target', async () => {
    const seen = new Set<ArrayBufferLike>();
    const options = { isLent: true, jobs: jobsOf(2) };
    for await (const piece of applyDelta(new MemoryBasis(basis), [delta], options)) seen.add(piece.buffer);
    assert.ok(seen.size <= 4, `${seen.size} buffers`);
  });

  test('tells the verified target once, and never that of a damaged delta', async () => {
    const told: { readonly bytes: number; readonly sha256: Uint8Array }[] = [];
    const options: ApplyDeltaOptions = { isLent: true, jobs: jobsOf(3), onVerified: (verified) => told.push(verified) };
    const sha256 = await hashOf(delta, options);
    assert.deepEqual(told, [{ bytes: target.length, sha256: Uint8Array.from(Buffer.from(sha256, 'hex')) }]);
    const damaged = Buffer.from(delta);
    damaged[delta.length - 1] = (damaged[delta.length - 1] as number) ^ 1;
    await rejectsWith(hashOf(damaged, options), 'target-mismatch');
    assert.equal(told.length, 1);
  });

  test('a failure is told when its turn comes, and nobody else hears of it', async () => {
    let startCount = 0;
    const failing = jobsOf(4, () => {
      startCount += 1;
      if (startCount === 2) throw new RdcError('delta-invalid', 'the second segment is broken');
    });
    const pieces = applyDelta(new MemoryBasis(basis), [delta], { jobs: failing });
    await assert.doesNotReject(pieces.next());
    await rejectsWith(pieces.next(), 'delta-invalid');
  });
});
