import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  type MsRdcParameters,
  type MsRdcSignature,
  msRdcLevels,
  msRdcNeeds,
  msRdcTraitMatchCount,
  msRdcTraits,
} from '../src/index.ts';
import { MS_RDC_CHUNK_COUNT_MAX, PROBES_MAX } from '../src/limits.ts';
import { SeedIndex } from '../src/ms-rdc/seed-index.ts';
import { applyEdits, basisArbitrary, pairArbitrary, pseudoRandom, testSeed, textLike } from './material.ts';
import { readSigned, rebuild, sourceBytesOf, throwsCode } from './ms-rdc-material.ts';

describe('msRdcNeeds()', () => {
  test('rebuilds the source exactly, of ranges that do not continue each other', (t) => {
    t.diagnostic(`seed ${testSeed}`);
    fc.assert(
      fc.property(pairArbitrary, fc.array(basisArbitrary, { maxLength: 2 }), ([basis, source], others) => {
        const seeds = [...others, basis];
        const needs = [
          ...msRdcNeeds(
            readSigned(source),
            seeds.map((seed) => readSigned(seed)),
          ),
        ];
        assert.ok(rebuild(needs, source, seeds).equals(source));
        needs.forEach((need, index) => {
          const before = needs[index - 1];
          if (before === undefined || before.from !== need.from) return;
          if (before.from === 'seed' && need.from === 'seed' && before.seed !== need.seed) return;
          assert.notEqual(before.offset + before.length, need.offset);
        });
      }),
      { seed: testSeed, numRuns: 200 },
    );
  });

  test('needs an unchanged file from its seed in one range, and a strange one from the source in one', () => {
    const file = pseudoRandom(100_000, 21);
    const stranger = pseudoRandom(100_000, 22);
    const [source, other] = [readSigned(file), readSigned(stranger)];
    assert.deepEqual([...msRdcNeeds(source, [other, source])], [{ from: 'seed', seed: 1, offset: 0, length: 100_000 }]);
    assert.deepEqual([...msRdcNeeds(source, [other])], [{ from: 'source', offset: 0, length: 100_000 }]);
    assert.deepEqual([...msRdcNeeds(source, [])], [{ from: 'source', offset: 0, length: 100_000 }]);
    assert.deepEqual([...msRdcNeeds(readSigned(new Uint8Array(0)), [source])], []);
  });

  test('needs little of the source after an insertion', () => {
    const seed = pseudoRandom(400_000, 23);
    const source = applyEdits(seed, [{ place: 0.5, removedBytes: 0, inserted: Uint8Array.of(1, 2, 3) }]);
    const parameters = msRdcLevels(1)[0] as MsRdcParameters;
    const needs = [...msRdcNeeds(readSigned(source, parameters), [readSigned(seed, parameters)])];
    assert.ok(sourceBytesOf(needs) < 10_000, `${sourceBytesOf(needs)} bytes of the source`);
    assert.ok(rebuild(needs, source, [seed]).equals(source));
  });

  test('follows a run through repeated chunks', () => {
    const repeated = Buffer.concat([pseudoRandom(5000, 24), new Uint8Array(400_000), pseudoRandom(5000, 25)]);
    const signature = readSigned(repeated);
    assert.deepEqual([...msRdcNeeds(signature, [signature])], [{ from: 'seed', seed: 0, offset: 0, length: 410_000 }]);
  });

  test('finds chunks in any order, repeated or left out', (t) => {
    t.diagnostic(`seed ${testSeed}`);
    // Files of a few different chunks, as [MS-RDC] 3.1.5.5 sees them. Number n has n + 1 bytes.
    const order = fc.array(fc.nat(6), { maxLength: 12 });
    const fileOf = (chunks: readonly number[]) => Buffer.concat(chunks.map((chunk) => Buffer.alloc(chunk + 1, chunk)));
    const signed = (chunks: readonly number[]): MsRdcSignature => ({
      chunkCount: chunks.length,
      hashes: Buffer.concat(chunks.map((chunk) => Buffer.alloc(16, chunk))),
      lengths: Uint16Array.from(chunks, (chunk) => chunk + 1),
      bytes: fileOf(chunks).length,
    });
    fc.assert(
      fc.property(order, fc.array(order, { maxLength: 3 }), (source, seeds) => {
        const needs = [...msRdcNeeds(signed(source), seeds.map(signed))];
        assert.ok(rebuild(needs, fileOf(source), seeds.map(fileOf)).equals(fileOf(source)));
        const missing = source.filter((chunk) => !seeds.some((seed) => seed.includes(chunk)));
        assert.equal(sourceBytesOf(needs), fileOf(missing).length);
      }),
      { seed: testSeed, numRuns: 500 },
    );
  });

  test('refuses too many seeds, and seeds of too many chunks', () => {
    const signature = readSigned(Uint8Array.of(1));
    assert.equal([...msRdcNeeds(signature, new Array<MsRdcSignature>(254).fill(signature))].length, 1);
    assert.throws(() => msRdcNeeds(signature, new Array<MsRdcSignature>(255).fill(signature)), RangeError);
    const huge = { ...signature, chunkCount: MS_RDC_CHUNK_COUNT_MAX };
    throwsCode(() => msRdcNeeds(signature, [huge, signature]), 'limit-exceeded');
  });
});

describe('SeedIndex', () => {
  test('takes constant work for each chunk, however the hashes were chosen', () => {
    // All MD4s begin alike: one slot for all of them.
    const alike = (chunkCount: number, lastByte: number): MsRdcSignature => {
      const hashes = new Uint8Array(chunkCount * 16);
      for (let chunk = 0; chunk < chunkCount; chunk++) {
        new DataView(hashes.buffer).setUint32(chunk * 16 + 8, chunk);
        hashes[chunk * 16 + 15] = lastByte;
      }
      return { chunkCount, hashes, lengths: new Uint16Array(chunkCount).fill(1), bytes: chunkCount };
    };
    const chunkCount = 20_000;
    const index = new SeedIndex(alike(chunkCount, 1));
    const strange = alike(chunkCount, 2);
    for (let chunk = 0; chunk < chunkCount; chunk++) assert.equal(index.find(strange, chunk), -1);
    assert.ok(index.probes <= 2 * chunkCount * PROBES_MAX, `${index.probes} probes`);
    assert.equal(index.find(alike(1, 1), 0), 0);
  });

  test('remembers one of many equal chunks, so that they crowd out no other', () => {
    const chunkCount = 1000;
    const hashes = new Uint8Array(chunkCount * 16);
    hashes[chunkCount * 16 - 1] = 1;
    const seed = { chunkCount, hashes, lengths: new Uint16Array(chunkCount).fill(1), bytes: chunkCount };
    const index = new SeedIndex(seed);
    assert.deepEqual([index.find(seed, 500), index.find(seed, 999)], [0, 999]);
  });
});

describe('similarity', () => {
  test('counts the traits that agree, of relatives many and of strangers few', () => {
    const file = textLike(100_000, 31);
    const relative = applyEdits(file, [{ place: 0.3, removedBytes: 500, inserted: textLike(700, 32) }]);
    const [traits, near, far] = [file, relative, pseudoRandom(100_000, 33)].map((bytes) =>
      msRdcTraits(readSigned(bytes)),
    ) as [Uint8Array, Uint8Array, Uint8Array];
    assert.equal(msRdcTraitMatchCount(traits, traits), 16);
    assert.ok(msRdcTraitMatchCount(traits, near) >= 12);
    assert.ok(msRdcTraitMatchCount(traits, far) <= 2);
    assert.ok([...traits, ...near, ...far].every((trait) => trait <= 63));
  });

  test('has traits of 63 for an empty file, and no match for traits that were not computed', () => {
    assert.deepEqual(msRdcTraits(readSigned(new Uint8Array(0))), new Uint8Array(16).fill(63));
    assert.equal(msRdcTraitMatchCount(new Uint8Array(16), new Uint8Array(16)), 0);
    assert.throws(() => msRdcTraitMatchCount(new Uint8Array(16), new Uint8Array(15)), RangeError);
  });
});
