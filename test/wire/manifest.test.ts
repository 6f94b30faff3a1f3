import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ReplicationError } from '../../src/errors.ts';
import { type ContentId, emptyContentId } from '../../src/model/content.ts';
import type { PackageId } from '../../src/model/package.ts';
import { decodeFrame, encodeFrame } from '../../src/wire/frame.ts';
import {
  contentsOf,
  decodeManifest,
  encodeManifest,
  logicalBytes,
  type Manifest,
  type ManifestEntry,
  sameTree,
} from '../../src/wire/manifest.ts';
import { encodeOwn } from '../../src/wire/msgpack.ts';

const someContent = 'ab'.repeat(32) as ContentId;

function manifestOf(entries: readonly ManifestEntry[]): Manifest {
  return {
    packageId: 'P0100001' as PackageId,
    packageName: 'editor',
    version: 3,
    createdMs: 1_764_000_000_000,
    entries,
  };
}

const file = (path: string, bytes = 5, content = someContent): ManifestEntry => ({
  kind: 'file',
  path,
  bytes,
  content,
  isExecutable: false,
});

/** A manifest as a liar would send it: the body is ours to choose, the frame is right. */
function forged(entries: unknown[], more: Record<string, unknown> = {}): Uint8Array {
  const body = encodeOwn({ package: 'P0100001', name: 'editor', version: 3, createdMs: 0, entries, ...more });
  return encodeFrame({ magic: 'SFMF', version: 1, bodyBytesMax: 1e9, noun: 'manifest' }, body);
}

test('encodeManifest() and decodeManifest() are inverse, for every kind of entry and any script', () => {
  const manifest = manifestOf(
    [
      { kind: 'directory', path: 'empty' },
      file('leer/пусто.txt', 0, emptyContentId),
      { kind: 'file', path: 'run/me.sh', bytes: 5, content: someContent, isExecutable: true },
      { kind: 'symlink', path: 'run/you.sh', target: 'me.sh' },
      file('文件/ファイル🚀.bin'),
      file('x'.repeat(255)),
    ].sort((left, right) => (left.path < right.path ? -1 : 1)) as ManifestEntry[],
  );
  assert.deepEqual(decodeManifest(encodeManifest(manifest)), manifest);
});

test('encodeManifest() writes these very bytes: a change here is a new format version', () => {
  const golden =
    '53464d46010000007000000000000000' +
    '85a77061636b616765a85030313030303031a46e616d65a6656469746f72a776657273696f6e03a9637265617465644d73cf0000019ab697e800' +
    `a7656e74726965739195a5612e747874a16605c420${'ab'.repeat(32)}00` +
    'c376df11b0fd5bd3f59951f481f51bd7c223756bc6d6db53d6e75f6d00773038';
  assert.equal(Buffer.from(encodeManifest(manifestOf([file('a.txt')]))).toString('hex'), golden);
});

const lies: readonly [string, Uint8Array, RegExp][] = [
  ['climbs out', forged([['../etc/passwd', 'f', 5, new Uint8Array(32), 0]]), /part "\.\."/],
  ['is absolute', forged([['/etc/passwd', 'f', 5, new Uint8Array(32), 0]]), /absolute/],
  ['uses a back-slash', forged([['a\\..\\..\\b', 'f', 5, new Uint8Array(32), 0]]), /back-slash/],
  ['names a drive', forged([['C:evil', 'f', 5, new Uint8Array(32), 0]]), /drive letter/],
  ['hides a NUL', forged([['a\0b', 'f', 5, new Uint8Array(32), 0]]), /NUL/],
  ['has an empty part', forged([['a//b', 'f', 5, new Uint8Array(32), 0]]), /empty part/],
  ['has a part of 256 bytes', forged([['y'.repeat(256), 'f', 5, new Uint8Array(32), 0]]), /longer than 255/],
  ['links out', forged([['a/link', 'l', '../../x']]), /points out of the package/],
  ['links to the root', forged([['link', 'l', '/etc']]), /points out of the package/],
  [
    'is twice there',
    forged([
      ['a', 'd'],
      ['a', 'd'],
    ]),
    /twice/,
  ],
  [
    'is out of order',
    forged([
      ['b', 'd'],
      ['a', 'd'],
    ]),
    /out of order/,
  ],
  [
    'puts a file below a file',
    forged([
      ['a', 'f', 5, new Uint8Array(32), 0],
      ['a/b', 'd'],
    ]),
    /no parent/,
  ],
  [
    'puts a file below a link',
    forged([
      ['a', 'l', 'b'],
      ['a/b', 'f', 5, new Uint8Array(32), 0],
    ]),
    /no parent/,
  ],
  ['has a short hash', forged([['a', 'f', 5, new Uint8Array(31), 0]]), /hash of 31 bytes/],
  ['claims an empty file of 5 bytes', forged([['a', 'f', 5, Buffer.from(emptyContentId, 'hex'), 0]]), /contradicts/],
  ['claims nothing with a hash', forged([['a', 'f', 0, new Uint8Array(32), 0]]), /contradicts/],
  [
    'gives one hash two sizes',
    forged([
      ['a', 'f', 5, new Uint8Array(32), 0],
      ['b', 'f', 6, new Uint8Array(32), 0],
    ]),
    /another size/,
  ],
  [
    'has sizes beyond counting',
    forged([
      ['a', 'f', 2 ** 53 - 1, new Uint8Array(32), 0],
      ['b', 'f', 2 ** 53 - 1, new Uint8Array(32).fill(1), 0],
    ]),
    /add up/,
  ],
  ['has a negative size', forged([['a', 'f', -1, new Uint8Array(32), 0]]), /Cannot accept/],
  ['has an unknown key', forged([], { evil: true }), /Unrecognized key/],
  ['has no package', forged([], { package: 'nonsense' }), /not a package id/],
];

for (const [what, bytes, expected] of lies) {
  test(`decodeManifest() refuses a manifest that ${what}`, () => {
    assert.throws(
      () => decodeManifest(bytes),
      (error) => error instanceof ReplicationError && error.code === 'manifest-invalid' && expected.test(error.message),
    );
  });
}

test('decodeManifest() refuses any single flipped bit and any truncation', () => {
  const bytes = encodeManifest(manifestOf([file('a.txt'), file('b.txt')]));
  for (let bit = 0; bit < bytes.byteLength * 8; bit += 1) {
    const altered = Uint8Array.from(bytes);
    altered[bit >> 3] = (altered[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.throws(() => decodeManifest(altered), { code: 'format-invalid' });
  }
  for (let length = 0; length < bytes.byteLength; length += 1) {
    assert.throws(() => decodeManifest(bytes.subarray(0, length)), { code: 'format-invalid' });
  }
});

test('decodeManifest() throws nothing but our errors on arbitrary bodies', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (body) => {
      const bytes = encodeFrame({ magic: 'SFMF', version: 1, bodyBytesMax: 1e9, noun: 'manifest' }, body);
      assert.throws(() => decodeManifest(bytes), ReplicationError);
    }),
    { numRuns: 2_000 },
  );
});

test('decodeFrame() tells a newer version from damage', () => {
  const frame = encodeFrame({ magic: 'SFMF', version: 2, bodyBytesMax: 10, noun: 'manifest' }, new Uint8Array(1));
  assert.throws(
    () => decodeFrame({ magic: 'SFMF', version: 1, bodyBytesMax: 10, noun: 'manifest' }, frame),
    /version 2, this program knows 1/,
  );
});

test('sameTree() sees content, mode and kind, not the time', () => {
  const one = manifestOf([file('a')]);
  assert.equal(sameTree(one, { ...one, createdMs: 1, version: 9 }), true);
  assert.equal(sameTree(one, manifestOf([{ ...file('a'), isExecutable: true } as ManifestEntry])), false);
  assert.equal(sameTree(one, manifestOf([file('a', 6)])), false);
  assert.equal(sameTree(one, manifestOf([{ kind: 'directory', path: 'a' }])), false);
});

test('contentsOf() and logicalBytes() count a content once and a file each time', () => {
  const manifest = manifestOf([file('a'), file('b'), file('c', 0, emptyContentId)]);
  assert.deepEqual([...contentsOf(manifest)], [[someContent, 5]]);
  assert.equal(logicalBytes(manifest), 10);
});
