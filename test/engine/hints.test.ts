/** Where the parts of a target probably come from, as names tell. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import type { Extent } from 'native-free-rdc';
import { hintsByName } from '../../src/engine/delta/hints.ts';
import { type ContentId, contentIdOf } from '../../src/model/content.ts';
import type { PackageId } from '../../src/model/package.ts';
import type { Manifest } from '../../src/wire/manifest.ts';

/** A file by its path, what names its content, and its length. */
type File = readonly [path: string, content: string, bytes: number];

const idOf = (name: string): ContentId => contentIdOf(createHash('sha256').update(name).digest());

function manifestOf(files: readonly File[]): Manifest {
  const entries = files.map(([path, content, bytes]) => ({
    kind: 'file' as const,
    path,
    bytes,
    content: idOf(content),
    isExecutable: false,
  }));
  return { packageId: 'P0100001' as PackageId, packageName: 'editor', version: 1, createdMs: 0, entries };
}

/** Hints for all contents of `target`, with those of `basis` one behind the other. */
function hints(target: readonly File[], basis: readonly File[]): (start: number, bytes: number) => Extent[] {
  const starts = new Map<ContentId, number>();
  let end = 0;
  for (const [, content, bytes] of basis) {
    starts.set(idOf(content), end);
    end += bytes;
  }
  const contents = new Map(target.map(([, content, bytes]) => [idOf(content), bytes]));
  return hintsByName(contents, manifestOf(target), { manifest: manifestOf(basis), starts });
}

const margin = 128 * 1024;

test('hintsByName() leads to the file at the same path', () => {
  const basis: File[] = [
    ['a', 'a 1', 1_000_000],
    ['b', 'b 1', 500],
  ];
  const hintsFor = hints([['b', 'b 2', 600]], basis);
  assert.deepEqual(hintsFor(0, 600), [{ start: 1_000_000, bytes: 500 }]);
});

test('hintsByName() leads to a path that differs in digits only where there is none that is the same', () => {
  const basis: File[] = [
    ['lib-1.2/x', 'x 1', 100],
    ['lib-1.3/y', 'y 1', 200],
  ];
  const hintsFor = hints(
    [
      ['lib-1.10/x', 'x 2', 100],
      ['lib-1.3/y', 'y 2', 200],
      ['other/x', 'z', 300],
    ],
    basis,
  );
  assert.deepEqual(hintsFor(0, 600), [
    { start: 0, bytes: 100 },
    { start: 100, bytes: 200 },
  ]);
  assert.deepEqual(hintsFor(300, 300), []);
});

test('hintsByName() follows a part of a file to the same share of the other, with room on both sides', () => {
  const hintsFor = hints([['big', 'big 2', 20_000_000]], [['big', 'big 1', 10_000_000]]);
  assert.deepEqual(hintsFor(0, 4_000_000), [{ start: 0, bytes: 2_000_000 + margin }]);
  assert.deepEqual(hintsFor(8_000_000, 4_000_000), [{ start: 4_000_000 - margin, bytes: 2_000_000 + 2 * margin }]);
  assert.deepEqual(hintsFor(16_000_000, 4_000_000), [{ start: 8_000_000 - margin, bytes: 2_000_000 + margin }]);
});

test('hintsByName() names no content that is not part of the basis', () => {
  const target = manifestOf([['a', 'a 2', 10]]);
  const basis = { manifest: manifestOf([['a', 'a 1', 10]]), starts: new Map<ContentId, number>() };
  assert.deepEqual(hintsByName([[idOf('a 2'), 10]], target, basis)(0, 10), []);
});
