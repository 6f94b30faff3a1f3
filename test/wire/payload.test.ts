import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ReplicationError } from '../../src/errors.ts';
import { limits } from '../../src/model/limits.ts';
import type { PackageId } from '../../src/model/package.ts';
import {
  type ContentChoice,
  decodeContentChoice,
  decodePayloadHead,
  encodeContentChoice,
  encodePayloadHead,
  encodePreamble,
  encodeRecord,
  type PayloadHead,
  type PayloadRecord,
  payloadRecords,
} from '../../src/wire/payload.ts';

async function* inBuffersOf(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < bytes.byteLength; offset += size) yield bytes.subarray(offset, offset + size);
}

function payloadOf(records: readonly PayloadRecord[]): Uint8Array {
  return new Uint8Array(Buffer.concat([encodePreamble(), ...records.flatMap((record) => encodeRecord(record))]));
}

async function readAll(bytes: Uint8Array, size = 7): Promise<PayloadRecord[]> {
  return await Array.fromAsync(payloadRecords(inBuffersOf(bytes, size)));
}

const raw = (kind: PayloadRecord['kind'], body: Uint8Array): PayloadRecord => ({
  kind,
  coding: 'raw',
  rawBytes: body.byteLength,
  body,
});
const end = raw('end', new Uint8Array(0));
const some = [
  raw('head', Uint8Array.of(1, 2, 3)),
  { kind: 'contents', coding: 'zstd', rawBytes: 99, body: Uint8Array.of(4) },
  end,
] as const;

test('payloadRecords() gives back what encodeRecord() wrote, whatever the buffers', async () => {
  for (const size of [1, 2, 11, 12, 13, 1000]) assert.deepEqual(await readAll(payloadOf(some), size), some);
});

test('a payload has these very bytes: a change here is a new format version', () => {
  const golden =
    '5346504c03000000' +
    '01000000' +
    '03000000' +
    '03000000' +
    '010203' +
    '03010000' +
    '63000000' +
    '01000000' +
    '04' +
    '050000000000000000000000';
  assert.equal(Buffer.from(payloadOf(some)).toString('hex'), golden);
});

test('payloadRecords() refuses truncation at every byte, and bytes after the end', async () => {
  const bytes = payloadOf(some);
  for (let length = 0; length < bytes.byteLength; length += 1) {
    await assert.rejects(readAll(bytes.subarray(0, length)), { code: 'payload-invalid' });
  }
  await assert.rejects(readAll(Uint8Array.of(...bytes, 0)), /bytes follow its end/);
});

test('payloadRecords() checks a declared length before it allocates', async () => {
  const bytes = payloadOf([end]);
  for (const [offset, value] of [
    [8 + 8, limits.payloadRecordBytesMax + 1],
    [8 + 4, limits.payloadRecordBytesMax + 1],
    [8 + 8, 0xffffffff],
  ] as const) {
    const lying = Uint8Array.from(bytes);
    new DataView(lying.buffer).setUint32(offset, value, true);
    await assert.rejects(readAll(lying), /larger than/);
  }
});

test('payloadRecords() refuses unknown kinds, codings, reserved bits, versions and magics', async () => {
  for (const [offset, value] of [
    [0, 0x58],
    [4, 1],
    [4, 2],
    [4, 4],
    [8, 0],
    [8, 6],
    [9, 3],
    [10, 1],
    [9, 2],
  ] as const) {
    const altered = Uint8Array.from(payloadOf([end]));
    altered[offset] = value;
    await assert.rejects(readAll(altered), { code: 'payload-invalid' });
  }
});

const head: PayloadHead = {
  packageId: 'P0100001' as PackageId,
  basisVersion: 1,
  version: 2,
  variant: '',
  manifestBytes: 100,
  mechanisms: {
    present: { contents: 1, bytes: 2 },
    diff: { contents: 3, bytes: 4 },
    whole: { contents: 5, bytes: 6 },
  },
};

test('heads survive the wire, lying ones do not', () => {
  assert.deepEqual(decodePayloadHead(encodePayloadHead(head)), head);
  for (const lie of [
    { version: 1 },
    { basisVersion: -1 },
    { manifestBytes: limits.manifestBytesMax + 1 },
    { variant: '../../x' },
    { version: 1.5 },
  ]) {
    assert.throws(() => decodePayloadHead(encodePayloadHead({ ...head, ...lie })), { code: 'payload-invalid' });
  }
});

const choice: ContentChoice = { basis: [true, false, true], target: [...Array<boolean>(9).fill(false), true] };

test('a list of contents has these very bytes: a change here is a new format version', () => {
  assert.equal(Buffer.from(encodeContentChoice(choice)).toString('hex'), '030000000a000000' + '05' + '0002');
});

test('decodeContentChoice() is the inverse of encodeContentChoice() and refuses every other length', () => {
  for (const basisCount of [0, 1, 7, 8, 9, 1000]) {
    const some = {
      basis: Array.from({ length: basisCount }, (_, index) => index % 3 === 0),
      target: Array.from({ length: 17 }, (_, index) => index % 2 === 0),
    };
    assert.deepEqual(decodeContentChoice(encodeContentChoice(some)), some);
  }
  const bytes = encodeContentChoice(choice);
  for (let length = 0; length < bytes.byteLength; length += 1) {
    assert.throws(() => decodeContentChoice(bytes.subarray(0, length)), { code: 'payload-invalid' });
  }
  assert.throws(() => decodeContentChoice(Uint8Array.of(...bytes, 0)), /wrong length/);
  for (const [offset, value] of [
    [0, 0xff],
    [3, 0xff],
    [7, 0xff],
    [8, 0x08],
    [10, 0x04],
  ] as const) {
    const lying = Uint8Array.from(bytes);
    lying[offset] = value;
    assert.throws(() => decodeContentChoice(lying), { code: 'payload-invalid' });
  }
});

test('readers of a payload throw nothing but our errors on altered bytes', async () => {
  const bytes = payloadOf([raw('head', encodePayloadHead(head)), raw('contents', encodeContentChoice(choice)), end]);
  await fc.assert(
    fc.asyncProperty(fc.nat(bytes.byteLength - 1), fc.nat(255), async (offset, value) => {
      const altered = Uint8Array.from(bytes);
      altered[offset] = value;
      try {
        for (const record of await readAll(altered)) {
          if (record.kind === 'head') decodePayloadHead(record.body);
          if (record.kind === 'contents') decodeContentChoice(record.body);
        }
      } catch (error) {
        assert.ok(error instanceof ReplicationError, String(error));
      }
    }),
    { numRuns: 3_000 },
  );
});
