/** The one diff of a payload: what it saves, what it never lets through, what it holds open. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { createDiff } from 'native-free-rdc';
import { basisIdOf, type ContentPlan, planContents, type SizedContent } from '../../src/engine/delta/plan.ts';
import { OpenFiles } from '../../src/engine/store/open-files.ts';
import { PeerLink } from '../../src/engine/transfer/peer-link.ts';
import { uploadPayload } from '../../src/engine/transfer/upload.ts';
import { type ContentId, contentIdOf } from '../../src/model/content.ts';
import { limits } from '../../src/model/limits.ts';
import type { PackageId } from '../../src/model/package.ts';
import type { UploadMessage } from '../../src/wire/api.ts';
import { encodeManifest, type Manifest } from '../../src/wire/manifest.ts';
import {
  type ContentChoice,
  encodeContentChoice,
  encodePayloadHead,
  encodePreamble,
  encodeRecord,
  type RecordKind,
} from '../../src/wire/payload.ts';
import type { FileHandle, Files } from '../../src/world/files.ts';
import { Hierarchy, smallHierarchy, type Tree } from '../scenarios/hierarchy.ts';
import { warmUp } from '../scenarios/warm-up.ts';
import { Simulation } from '../sim/simulation.ts';

const patience = { virtualMsMax: 40 * 60_000 };

const idOf = (bytes: Uint8Array): ContentId => contentIdOf(createHash('sha256').update(bytes).digest());

function manifestOf(packageId: string, version: number, files: readonly Uint8Array[]): Manifest {
  const entries = files.map((bytes, index) => ({
    kind: 'file' as const,
    path: `file ${String(index).padStart(4, '0')}`,
    bytes: bytes.byteLength,
    content: idOf(bytes),
    isExecutable: false,
  }));
  return { packageId: packageId as PackageId, packageName: 'editor', version, createdMs: 0, entries };
}

const [one, two, three, four] = [1, 2, 3, 4].map((value) => new Uint8Array(10 * value).fill(value)) as [
  Uint8Array,
  Uint8Array,
  Uint8Array,
  Uint8Array,
];

const planned = (contents: readonly SizedContent[]): ContentId[] => contents.map(({ content }) => content);
const shares = (plan: ContentPlan) =>
  (['present', 'diff', 'whole'] as const).map((way) => [plan.mechanisms[way].contents, plan.mechanisms[way].bytes]);

test('planContents() takes as basis what both sides have of both versions, once and in order', () => {
  const basis = manifestOf('P0100001', 1, [two, one, two, new Uint8Array(0)]);
  const target = manifestOf('P0100001', 2, [four, three, one, three, new Uint8Array(0)]);
  const held = new Set([one, two, three].map(idOf));
  const everything = (): boolean => true;
  const plan = planContents(target, basis, (id) => held.has(id), everything);
  assert.deepEqual(planned(plan.basis), [two, one, three].map(idOf));
  assert.deepEqual(planned(plan.wanted), [idOf(four)]);
  assert.deepEqual(plan.choice, { basis: [true, true, false, true], target: [true, false, false] });
  assert.deepEqual(shares(plan), [
    [2, 40],
    [1, 40],
    [0, 0],
  ]);
  const lost = planContents(
    target,
    basis,
    (id) => held.has(id),
    (id) => id !== idOf(two),
  );
  assert.deepEqual(planned(lost.basis), [one, three].map(idOf));
});

test('planContents() needs no basis where nothing is held or nothing is lacking', () => {
  const basis = manifestOf('P0100001', 1, [one]);
  const target = manifestOf('P0100001', 2, [one, two]);
  const everything = (): boolean => true;
  const whole = planContents(target, basis, () => false, everything);
  assert.deepEqual([whole.choice.basis, whole.basis, planned(whole.wanted)], [[], [], [one, two].map(idOf)]);
  assert.deepEqual(shares(whole)[2], [2, 30]);
  const nothing = planContents(target, basis, everything, everything);
  assert.deepEqual([nothing.choice, nothing.wanted], [{ basis: [], target: [false, false] }, []]);
});

interface Bench {
  readonly hierarchy: Hierarchy;
  readonly packageId: PackageId;
  readonly drive: <Result>(promise: Promise<Result>) => Promise<Result>;
}

async function bench(seed: string, treeOf: (hierarchy: Hierarchy) => Tree): Promise<Bench> {
  await warmUp();
  const hierarchy = new Hierarchy(seed, smallHierarchy);
  const drive = <Result>(promise: Promise<Result>): Promise<Result> => hierarchy.simulation.drive(promise, patience);
  hierarchy.publishSource(treeOf(hierarchy));
  for (const host of hierarchy.hosts) hierarchy.startNode(host);
  const packageId = await drive(hierarchy.setUp());
  for (const host of hierarchy.hosts) await drive(hierarchy.reaches(host, packageId, 1));
  return { hierarchy, packageId, drive };
}

test('files that were renamed, merged, split or touched cost what changed in them, large and small', async () => {
  const { hierarchy, packageId, drive } = await bench('renamed', ({ simulation }) => {
    const { seeded } = simulation;
    const tree = new Map([1, 2, 3].map((number) => [`old/big ${number}`, seeded.fork(`${number}`).bytes(300_000)]));
    for (let index = 0; index < 300; index += 1) tree.set(`old/${index}`, seeded.fork(`small ${index}`).bytes(500));
    return tree;
  });
  const old = (name: string): Uint8Array => hierarchy.machine('p01').files.readFile(`/source/old/${name}`) ?? one;
  const touched = Uint8Array.from(old('big 3'));
  touched[1_000] = (touched[1_000] ?? 0) ^ 1;
  const tree = new Map<string, Uint8Array>([
    ['new/touched', touched],
    ['new/merged', new Uint8Array(Buffer.concat([old('big 2'), old('big 1').subarray(0, 100_000)]))],
    ['new/split', old('big 1').slice(100_000)],
  ]);
  for (let index = 0; index < 300; index += 1) {
    tree.set(`new/${index * 7}`, new Uint8Array(Buffer.concat([old(`${index}`), Uint8Array.of(index)])));
  }
  hierarchy.publishSource(tree);
  await drive(hierarchy.update(packageId));
  for (const host of hierarchy.hosts) {
    await drive(hierarchy.reaches(host, packageId, 2));
    await drive(hierarchy.check(host));
  }
  const { hops } = await drive(hierarchy.status('p01'));
  const hop = hops.find(({ version }) => version === 2);
  assert.equal(hop?.mechanisms.diff.contents, 303);
  // 303 identities of 32 bytes are in the manifest; of a million bytes of content next to nothing is left.
  assert.ok(hop.payloadBytes < 303 * 32 + 12_000, `${hop.payloadBytes} bytes`);
});

test('a basis that rots at the receiver is found, told, and the version arrives without it', async () => {
  const { hierarchy, packageId, drive } = await bench('rotten', ({ simulation }) => {
    return new Map([['big', simulation.seeded.bytes(400_000)]]);
  });
  const child = hierarchy.machine('c01');
  for (const path of child.files.filesBelow('/node/content')) child.files.flipBit(path, 1_000);
  const next = Uint8Array.from(hierarchy.machine('p01').files.readFile('/source/big') ?? one);
  next[300_000] = (next[300_000] ?? 0) ^ 1;
  hierarchy.publishSource(new Map([['big', next]]));
  await drive(hierarchy.update(packageId));
  await drive(hierarchy.reaches('c01', packageId, 2));
  await drive(hierarchy.check('c01'));
  const { messages } = await drive(hierarchy.status('p01'));
  assert.ok(messages.some(({ id, text }) => id === 30004 && /basis-mismatch/.test(text)));
});

test('a payload that an older program left is made anew, for a push and for a pull', async () => {
  const { hierarchy, packageId, drive } = await bench('older', () => new Map([['a', one]]));
  for (const host of ['p01', 'c01']) {
    const machine = hierarchy.machine(host);
    machine.kill();
    for (const path of machine.files.filesBelow('/node/outbox')) {
      const bytes = Uint8Array.from(machine.files.readFile(path) ?? one);
      bytes[4] = 2;
      machine.files.removeTree(path);
      machine.files.writeFile(path.replace(/[0-9a-f]{64}/, idOf(bytes)), bytes);
    }
  }
  const branch = hierarchy.machine('b01');
  branch.kill();
  branch.files.removeTree('/node');
  hierarchy.machine('c01').files.removeTree(`/node/catalog/manifests/${packageId}`);
  for (const host of hierarchy.hosts) hierarchy.startNode(host);
  for (const host of ['c01', 'b01']) {
    await drive(hierarchy.reaches(host, packageId, 1));
    await drive(hierarchy.check(host));
  }
});

interface Lie {
  readonly basisId?: Uint8Array;
  readonly choice?: ContentChoice;
  /** What the delta leads to. */
  readonly stream?: Uint8Array;
  /** What is left of the delta, and what follows it. */
  readonly keep?: (delta: Uint8Array) => Uint8Array;
  readonly after?: RecordKind;
}

const target = new Uint8Array(1_000).map((_, index) => index * 7);
const basis = new Uint8Array(1_000).map((_, index) => index * 5);
const wrong = target.toReversed();

/** What is wrong with a payload, and the code it is refused with. */
const lies: readonly [string, Lie, UploadMessage['error']][] = [
  ['of another basis', { basisId: new Uint8Array(32) }, 'basis-mismatch'],
  ['with a list of other contents', { choice: { basis: [true, false], target: [true, true] } }, 'basis-mismatch'],
  ['with a basis that is not here', { choice: { basis: [false, true], target: [true] } }, 'basis-mismatch'],
  ['without contents', { choice: { basis: [], target: [false] } }, 'content-missing'],
  ['whose target is too short', { stream: target.subarray(1) }, 'delta-invalid'],
  ['whose target is too long', { stream: Uint8Array.of(...target, 0) }, 'delta-invalid'],
  ['whose target is another', { stream: wrong }, 'content-damaged'],
  ['without a delta', { keep: (delta) => delta.subarray(0, 0) }, 'delta-invalid'],
  ['with half a header', { keep: (delta) => delta.subarray(0, 20) }, 'delta-invalid'],
  ['with a torn delta', { keep: (delta) => delta.subarray(0, delta.byteLength - 10) }, 'delta-invalid'],
  ['with bytes behind its delta', { keep: (delta) => Uint8Array.of(...delta, 0) }, 'delta-invalid'],
  ['with a second manifest', { after: 'manifest' }, 'payload-invalid'],
];

async function lyingPayload(packageId: PackageId, lie: Lie): Promise<Uint8Array> {
  const manifest = encodeManifest(manifestOf(packageId, 9, [target]));
  const none = { contents: 0, bytes: 0 };
  const head = {
    packageId,
    basisVersion: 1,
    version: 9,
    variant: '',
    manifestBytes: manifest.byteLength,
    mechanisms: { present: none, diff: none, whole: none },
  };
  const basisId = lie.basisId ?? basisIdOf([{ content: idOf(basis), bytes: basis.byteLength }]);
  // Zeros to the next multiple of 16 follow each content.
  const joined = new Uint8Array(1_008);
  joined.set(basis);
  const reader = {
    bytes: joined.byteLength,
    read: async (offset: number, into: Uint8Array): Promise<number> => {
      into.set(joined.subarray(offset, offset + into.byteLength));
      return into.byteLength;
    },
  };
  const pieces = await Array.fromAsync(createDiff(reader, [lie.stream ?? target], { basisId }));
  const whole = new Uint8Array(Buffer.concat(pieces));
  const record = (kind: RecordKind, body: Uint8Array): Uint8Array[] =>
    encodeRecord({ kind, coding: 'raw', rawBytes: body.byteLength, body });
  return new Uint8Array(
    Buffer.concat([
      encodePreamble(),
      ...record('head', encodePayloadHead(head)),
      ...record('manifest', manifest),
      ...record('contents', encodeContentChoice(lie.choice ?? { basis: [true, false], target: [true] })),
      ...record('deltaBlock', lie.keep?.(whole) ?? whole),
      ...(lie.after === undefined ? [] : record(lie.after, manifest)),
      ...record('end', new Uint8Array(0)),
    ]),
  );
}

test('a payload that lies is refused with its code, one that does not is installed', async () => {
  const { hierarchy, packageId, drive } = await bench('liars', () => new Map([['file', basis]]));
  const { files } = hierarchy.machine('operator');
  const send = async (lie: Lie): Promise<UploadMessage> => {
    const bytes = await lyingPayload(packageId, lie);
    const id = idOf(bytes);
    files.writeFile(`/${id}`, bytes);
    const link = new PeerLink(hierarchy.operator, { name: 'C01', url: 'http://c01:8100', token: 'f'.repeat(32) });
    const { signal } = new AbortController();
    const order = { id, path: `/${id}`, bytes: bytes.byteLength, signal, onProgress: async () => {} };
    return await drive(uploadPayload(hierarchy.operator, link, order));
  };
  for (const [what, lie, code] of lies) {
    const { state, error } = await send(lie);
    assert.deepEqual([state, error], ['failed', code], what);
  }
  assert.equal((await drive(hierarchy.status('c01'))).packages[0]?.version, 1);
  assert.equal((await send({})).state, 'installed');
});

test('OpenFiles reads any number of files and holds few of them open', async () => {
  const simulation = new Simulation('open files');
  const machine = simulation.machine('one');
  const world = machine.boot();
  let openCount = 0;
  let openCountMax = 0;
  const counted = (handle: FileHandle): FileHandle => ({
    ...handle,
    read: (offset, into) => handle.read(offset, into),
    close: async () => {
      await handle.close();
      openCount -= 1;
    },
  });
  const files = {
    open: async (path: string, mode: 'read'): Promise<FileHandle> => {
      openCount += 1;
      openCountMax = Math.max(openCountMax, openCount);
      return counted(await world.files.open(path, mode));
    },
  } as Pick<Files, 'open'> as Files;
  const fileCount = 4 * limits.openContentFileCountMax;
  for (let index = 0; index < fileCount; index += 1) machine.files.writeFile(`/${index}`, Uint8Array.of(1, index));
  const readAll = async (): Promise<void> => {
    await using open = new OpenFiles(files);
    const numbers = Array.from({ length: 5 * fileCount }, () => simulation.seeded.integer(0, fileCount - 1));
    await Promise.all(
      numbers.map(async (number) => {
        const into = new Uint8Array(1);
        assert.deepEqual([await open.read(`/${number}`, 1, into), into[0]], [1, number]);
      }),
    );
    await assert.rejects(open.read('/nothing', 0, new Uint8Array(1)), { code: 'file-missing' });
    await assert.rejects(open.read('/nothing', 0, new Uint8Array(1)), { code: 'file-missing' });
  };
  await simulation.drive(readAll(), patience);
  // A file that could not be opened was counted and never closed.
  assert.ok(openCountMax <= limits.openContentFileCountMax + 2, `${openCountMax} open`);
  assert.equal(openCount, 2);
});
