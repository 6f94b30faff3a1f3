/** What making a payload reads, and what names save. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makePayload } from '../../src/engine/delta/make-payload.ts';
import { planContents } from '../../src/engine/delta/plan.ts';
import { ContentStore } from '../../src/engine/store/content-store.ts';
import type { PackageId } from '../../src/model/package.ts';
import { contentsOf, encodeManifest, type Manifest } from '../../src/wire/manifest.ts';
import type { FileHandle, Files, OpenMode } from '../../src/world/files.ts';
import type { World } from '../../src/world/world.ts';
import { warmUp } from '../scenarios/warm-up.ts';
import { Simulation } from '../sim/simulation.ts';

const MIB = 1024 * 1024;
/** The window of a segment and the segment itself, as `native-free-rdc` limits them. */
const windowBytes = 8 * MIB;
const patience = { virtualMsMax: 600_000 };

/** The same files, with a count of what is read from them. */
function counting(files: Files, onRead: (bytes: number) => void): Files {
  const open = async (path: string, mode: OpenMode): Promise<FileHandle> => {
    const handle = await files.open(path, mode);
    if (mode !== 'read') return handle;
    return {
      ...handle,
      facts: () => handle.facts(),
      read: async (offset, into) => {
        const bytes = await handle.read(offset, into);
        onRead(bytes);
        return bytes;
      },
      close: () => handle.close(),
      [Symbol.asyncDispose]: () => handle.close(),
    };
  };
  return new Proxy(files, {
    get(target, key) {
      const value: unknown = key === 'open' ? open : Reflect.get(target, key);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

async function bench(seed: string) {
  await warmUp();
  const simulation = new Simulation(seed);
  const machine = simulation.machine('one');
  const drive = <Result>(promise: Promise<Result>): Promise<Result> => simulation.drive(promise, patience);
  const booted = machine.boot();
  let readBytes = 0;
  const files = counting(booted.files, (bytes) => {
    readBytes += bytes;
  });
  const world: World = { ...booted, files };
  const store = await drive(world.openDatabase('/database').then((found) => ContentStore.open(world, found, '/store')));

  const publish = async (version: number, tree: ReadonlyMap<string, Uint8Array>): Promise<Manifest> => {
    const ingest = store.ingest();
    const entries = [];
    for (const [path, bytes] of tree) {
      const content = await drive(ingest.addBytes(bytes));
      entries.push({ kind: 'file' as const, path, bytes: bytes.byteLength, content, isExecutable: false });
    }
    await drive(ingest.commit());
    return { packageId: 'P0100001' as PackageId, packageName: 'editor', version, createdMs: 0, entries };
  };

  const make = async (target: Manifest, basis: Manifest, options: { readonly isNamed?: boolean } = {}) => {
    const held = contentsOf(basis);
    const plan = planContents(
      target,
      basis,
      (content) => held.has(content),
      (content) => store.has(content),
    );
    readBytes = 0;
    const pieces = makePayload(world, store, {
      target,
      targetManifestBytes: encodeManifest(target),
      basisManifestBytes: encodeManifest(basis),
      basisVersion: basis.version,
      variant: '',
      plan: options.isNamed === false ? { ...plan, basisManifest: undefined } : plan,
    });
    const payload = await drive(Array.fromAsync(pieces).then((parts) => Buffer.concat(parts)));
    return { payloadBytes: payload.byteLength, readBytes };
  };
  return { simulation, machine, drive, store, publish, make };
}

test('makePayload() reads the basis once for index and comparison, and once more what segments look at', async () => {
  const { simulation, publish, make } = await bench('read once');
  const tree = new Map(['a', 'b', 'c'].map((path) => [path, simulation.seeded.fork(path).bytes(4 * MIB - 5)]));
  const basis = await publish(1, tree);
  const touched = Uint8Array.from(tree.get('b') ?? []);
  touched[MIB] = (touched[MIB] ?? 0) ^ 1;
  const target = await publish(2, new Map([...tree, ['b', touched]]));
  const { payloadBytes, readBytes } = await make(target, basis);
  assert.ok(payloadBytes < 1_000, `${payloadBytes} bytes`);
  const [basisBytes, targetBytes] = [3 * (4 * MIB - 5), 4 * MIB - 5];
  assert.ok(readBytes <= basisBytes + windowBytes + targetBytes, `${readBytes} bytes were read`);
});

test('makePayload() reads a small basis once only', async () => {
  const { simulation, publish, make } = await bench('small');
  const old = simulation.seeded.bytes(300_000);
  const touched = Uint8Array.from(old);
  touched[5] = (touched[5] ?? 0) ^ 1;
  const [basis, target] = [await publish(1, new Map([['a', old]])), await publish(2, new Map([['a', touched]]))];
  assert.equal((await make(target, basis)).readBytes, 600_000);
});

test('makePayload() finds by its name what no sample of its bytes leads to', async () => {
  const { simulation, publish, make } = await bench('names');
  const tree = new Map(
    ['lib-1/a', 'lib-1/b', 'lib-1/c'].map((path) => [path, simulation.seeded.fork(path).bytes(4 * MIB)]),
  );
  const basis = await publish(1, tree);
  // Every 24th byte is another one: no 32 bytes that could be sampled are in both.
  const changed = (tree.get('lib-1/c') ?? new Uint8Array(0)).map((byte, index) => (index % 24 === 0 ? byte + 1 : byte));
  const target = await publish(2, new Map([['lib-2/c', changed]]));
  const named = await make(target, basis);
  const nameless = await make(target, basis, { isNamed: false });
  assert.ok(nameless.payloadBytes > 4 * MIB, `${nameless.payloadBytes} bytes without names`);
  assert.ok(named.payloadBytes < MIB, `${named.payloadBytes} bytes with names`);
});

test('makePayload() of a rotten basis fails wherever the rot is, small and large', async () => {
  for (const [fileBytes, fileCount] of [
    [300_000, 2],
    [3 * MIB, 4],
  ] as const) {
    for (const rotten of [0, fileCount - 1]) {
      const { simulation, machine, store, publish, make } = await bench(`rot ${fileBytes} ${rotten}`);
      const tree = new Map<string, Uint8Array>();
      for (let index = 0; index < fileCount; index += 1) {
        tree.set(`${index}`, simulation.seeded.fork(`${index}`).bytes(fileBytes));
      }
      const basis = await publish(1, tree);
      const target = await publish(2, new Map([['new', simulation.seeded.fork('new').bytes(fileBytes)]]));
      const entry = basis.entries[rotten];
      assert.ok(entry?.kind === 'file');
      machine.files.flipBit(`/store/content/${entry.content.slice(0, 2)}/${entry.content}`, fileBytes - 1);
      await assert.rejects(make(target, basis), { code: 'content-damaged' });
      assert.equal(store.has(entry.content), false);
    }
  }
});
