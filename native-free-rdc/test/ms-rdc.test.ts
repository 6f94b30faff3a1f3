import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { MsRdcChunker, type MsRdcParameters, msRdcTraits, readMsRdcSignature } from '../src/index.ts';
import { H3, H3_TABLE, h3ShiftBits } from '../src/ms-rdc/h3.ts';
import { md4Into } from '../src/ms-rdc/md4.ts';
import { piecesOf, pseudoRandom, sha256Hex, testSeed } from './material.ts';
import {
  contentArbitrary,
  h3Closed,
  h3Of,
  parametersArbitrary,
  signatureOf,
  spoilt,
  startsOf,
  vectorChunks,
  vectorFile,
  vectorParameters,
  vectorTraits,
} from './ms-rdc-material.ts';

function md4Hex(text: string): string {
  const digest = new Uint8Array(16);
  md4Into(Buffer.from(text, 'latin1'), digest);
  return Buffer.from(digest).toString('hex');
}

function cutsOf(pieces: Iterable<Uint8Array>, parameters: MsRdcParameters): number[] {
  const chunker = new MsRdcChunker(parameters);
  const starts: number[] = [];
  for (const piece of pieces) starts.push(...chunker.push(piece));
  return [...starts, ...chunker.finish()];
}

describe('the vector of [MS-RDC] 4.5 and 4.6', () => {
  test('is the file meant, byte by byte', () => {
    assert.equal(vectorFile.length, 33_527);
    assert.equal(sha256Hex(vectorFile), '30336812bb494a61bfe244849b6a79df7e1599c86eecb609f7246bc4d81eabeb');
  });

  test('has the signature file and the traits that the specification prints', () => {
    const header = '180000000100010001000100000000000100000000000000';
    const records = vectorChunks.map(([length, md4]) => {
      const lengthBytes = Buffer.alloc(2);
      lengthBytes.writeUInt16LE(length);
      return md4 + lengthBytes.toString('hex');
    });
    const encoded = signatureOf(vectorFile, vectorParameters);
    assert.equal(encoded.toString('hex'), header + records.join(''));
    assert.equal(Buffer.from(msRdcTraits(readMsRdcSignature(encoded))).toString('hex'), vectorTraits);
  });
});

describe('MD4', () => {
  test('gives the digests of RFC 1320, A.5', () => {
    const letters = 'abcdefghijklmnopqrstuvwxyz';
    const digits = '1234567890';
    assert.equal(md4Hex(''), '31d6cfe0d16ae931b73c59d7e0c089c0');
    assert.equal(md4Hex('a'), 'bde52cb31de33e46245e05fbdbd6fb24');
    assert.equal(md4Hex('abc'), 'a448017aaf21d8525fc10ae87aa6729d');
    assert.equal(md4Hex('message digest'), 'd9130a8164549fe818874806e1c7014b');
    assert.equal(md4Hex(letters), 'd79e1c308aa5bbcdeea8ed63df412da9');
    assert.equal(md4Hex(`${letters.toUpperCase()}${letters}0123456789`), '043f8582f241db351ce627e153e7f0e4');
    assert.equal(md4Hex(digits.repeat(8)), 'e33b4ddc9c38f2199c3e7b164fcc0536');
  });

  test('pads right at every length around a block, wherever the message lies', () => {
    // One hash over the digests of all lengths, computed once by OpenSSL 3 with its legacy provider.
    const digests = Buffer.alloc(200 * 16);
    const room = pseudoRandom(203, 4);
    for (let length = 0; length < 200; length++) {
      md4Into(room.subarray(3, 3 + length), digests.subarray(length * 16, length * 16 + 16));
    }
    assert.equal(sha256Hex(digests), 'c28d1573fae38643332d35970a6b16cccebb19f7a583add98960923c42dc1654');
    assert.throws(() => md4Into(room, new Uint8Array(15)), RangeError);
  });
});

describe('H3', () => {
  test('has the table of [MS-RDC] 3.1.3', () => {
    const words = [0, 1, 2, 3, 0x48, 0x65, 252, 253, 254, 255].map((byte) => (H3_TABLE[byte] as number) >>> 0);
    const beginning = [0x5e3f7c48, 0x796a0d2b, 0xbecd4e32, 0x6f16159c];
    const end = [0x2c9b1705, 0xcb536a69, 0xb2800f00, 0x111313fc];
    assert.deepEqual(words, [...beginning, 0x3d519a77, 0x824fdbe8, ...end]);
  });

  test('rotates by what a byte of the window needs to cancel', () => {
    const shifts = [2, 3, 4, 16, 32, 48, 64, 95, 96].map(h3ShiftBits);
    assert.deepEqual(shifts, [16, 0, 8, 2, 1, 2, 1, 0, 1]);
    for (let windowBytes = 2; windowBytes <= 96; windowBytes++) {
      assert.equal((windowBytes * h3ShiftBits(windowBytes)) % 32, 0);
    }
  });

  test('gives the values of the example, [MS-RDC] 4.2', () => {
    assert.deepEqual(h3Of(Buffer.from('He'), 4), [0x6ee63f63, 0x9698c3b2]);
  });

  test('rolls to the values of the recurrence and of the closed form, however the stream is divided', (t) => {
    t.diagnostic(`seed ${testSeed}`);
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 400 }),
        fc.integer({ min: 2, max: 96 }),
        fc.integer({ min: 1, max: 120 }),
        (bytes, windowBytes, stepBytes) => {
          const values = new Int32Array(bytes.length);
          const h3 = new H3(windowBytes);
          for (let at = 0; at < bytes.length; at += stepBytes) {
            h3.roll(bytes, at, Math.min(bytes.length, at + stepBytes), values, at);
          }
          const rolled = Array.from(values, (value) => (value ^ 0x80000000) >>> 0);
          assert.deepEqual(rolled, h3Of(bytes, windowBytes));
          assert.deepEqual(
            rolled,
            rolled.map((_, position) => h3Closed(bytes, windowBytes, position)),
          );
        },
      ),
      { seed: testSeed },
    );
  });
});

describe('MsRdcChunker', () => {
  test('starts chunks where the definition says', (t) => {
    t.diagnostic(`seed ${testSeed}`);
    fc.assert(
      fc.property(contentArbitrary, parametersArbitrary, (bytes, parameters) => {
        assert.deepEqual(cutsOf([bytes], parameters), startsOf(bytes, parameters));
      }),
      { seed: testSeed, numRuns: 300 },
    );
  });

  test('starts them there however the stream is divided', (t) => {
    t.diagnostic(`seed ${testSeed}`);
    const sizes = fc.array(fc.nat(700), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(contentArbitrary, parametersArbitrary, sizes, (bytes, parameters, pieceSizes) => {
        const pieces: Uint8Array[] = [];
        for (let at = 0, turn = 0; at < bytes.length; turn++) {
          const pieceBytes = (pieceSizes[turn % pieceSizes.length] as number) + (turn % 2);
          pieces.push(bytes.subarray(at, at + pieceBytes));
          at += pieceBytes;
        }
        assert.deepEqual(cutsOf(spoilt(pieces), parameters), cutsOf([bytes], parameters));
      }),
      { seed: testSeed },
    );
  });

  test('forces a start after 65,535 bytes, and none at the end of the file', () => {
    const usual: MsRdcParameters = { windowBytes: 48, horizonBytes: 1024 };
    assert.deepEqual(cutsOf([], usual), []);
    assert.deepEqual(cutsOf([new Uint8Array(1)], usual), []);
    assert.deepEqual(cutsOf([new Uint8Array(65_535)], usual), []);
    assert.deepEqual(cutsOf([new Uint8Array(65_536)], usual), [65_535]);
    assert.deepEqual(cutsOf([new Uint8Array(131_070)], usual), [65_535]);
    assert.deepEqual(cutsOf(piecesOf(new Uint8Array(131_071), 4096), usual), [65_535, 131_070]);
  });

  test('keeps local maxima beside forced starts, and counts on from either', () => {
    const bytes = Buffer.concat([
      pseudoRandom(3000, 5),
      new Uint8Array(66_000),
      pseudoRandom(3000, 6),
      new Uint8Array(66_000),
      pseudoRandom(20_000, 7),
    ]);
    for (const parameters of [vectorParameters, { windowBytes: 96, horizonBytes: 16_384 }]) {
      const wanted = startsOf(bytes, parameters);
      assert.ok(wanted.some((start, index) => start - (wanted[index - 1] ?? 0) === 65_535));
      assert.deepEqual(cutsOf(piecesOf(bytes, 10_007), parameters), wanted);
    }
  });

  test('forces a start just before a local maximum, [MS-RDC] 4.7', () => {
    // A horizon for which both lie in one block.
    const parameters: MsRdcParameters = { windowBytes: 48, horizonBytes: 1000 };
    let shortestBytes = Number.POSITIVE_INFINITY;
    for (let seed = 1; seed <= 16; seed++) {
      const bytes = Buffer.concat([new Uint8Array(65_500), pseudoRandom(2500, seed)]);
      const starts = cutsOf([bytes], parameters);
      assert.deepEqual(starts, startsOf(bytes, parameters));
      shortestBytes = Math.min(shortestBytes, (starts[1] as number) - (starts[0] as number));
    }
    assert.ok(shortestBytes < 465, `the shortest chunk after a forced start has ${shortestBytes} bytes`);
  });

  test('counts no maximum as far from the beginning as the horizon', () => {
    const parameters: MsRdcParameters = { windowBytes: 2, horizonBytes: 128 };
    const bytes = Array.from({ length: 2000 }, (_, seed) => pseudoRandom(400, seed + 1)).find((candidate) => {
      const hashes = h3Of(candidate, 2);
      return hashes.indexOf(Math.max(...hashes)) === 128;
    });
    assert.ok(bytes !== undefined);
    assert.deepEqual(cutsOf([bytes], parameters), startsOf(bytes, parameters));
  });

  test('refuses parameters outside their ranges', () => {
    for (const windowBytes of [1, 2.5, 97, Number.NaN]) {
      assert.throws(() => new MsRdcChunker({ windowBytes, horizonBytes: 1024 }), RangeError);
    }
    for (const horizonBytes of [0, 127, 16_385, Number.POSITIVE_INFINITY]) {
      assert.throws(() => new MsRdcChunker({ windowBytes: 48, horizonBytes }), RangeError);
    }
    for (const horizonBytes of [128, 16_384]) new MsRdcChunker({ windowBytes: 2, horizonBytes });
  });
});
