/** What is refused, with which code: the codes that no other test provokes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ContentStore, readVerified } from '../../src/engine/store/content-store.ts';
import { download, lookUp } from '../../src/engine/transfer/download.ts';
import { PeerLink } from '../../src/engine/transfer/peer-link.ts';
import { uploadPayload } from '../../src/engine/transfer/upload.ts';
import type { ContentId } from '../../src/model/content.ts';
import { limits } from '../../src/model/limits.ts';
import { contentDigest, httpPaths } from '../../src/wire/http.ts';
import type { Handler } from '../../src/world/network.ts';
import { Hierarchy, smallHierarchy } from '../scenarios/hierarchy.ts';
import { warmUp } from '../scenarios/warm-up.ts';
import { Simulation } from '../sim/simulation.ts';

const patience = { virtualMsMax: 600_000 };
const { signal } = new AbortController();

async function bench(seed: string) {
  await warmUp();
  const hierarchy = new Hierarchy(seed, smallHierarchy);
  const drive = <Result>(promise: Promise<Result>): Promise<Result> => hierarchy.simulation.drive(promise, patience);
  hierarchy.publishSource(new Map([['a', hierarchy.simulation.seeded.bytes(200_000)]]));
  for (const host of hierarchy.hosts) hierarchy.startNode(host);
  const packageId = await drive(hierarchy.setUp());
  await drive(hierarchy.reaches('c01', packageId, 1));
  const link = (token: string) =>
    new PeerLink(hierarchy.operator, { name: 'C01', url: 'http://c01:8100', token: token.repeat(32) });
  return { hierarchy, drive, packageId, link };
}

test('readVerified() never gives the last block of a content that is not what its name says', async () => {
  await warmUp();
  const simulation = new Simulation('damaged');
  const machine = simulation.machine('one');
  const world = machine.boot();
  const drive = <Result>(promise: Promise<Result>): Promise<Result> => simulation.drive(promise, patience);
  const store = await drive(
    world.openDatabase('/database').then((database) => ContentStore.open(world, database, '/store')),
  );
  const bytes = simulation.seeded.bytes(2_500_000);
  const ingest = store.ingest();
  const id = await drive(
    ingest.add(
      (async function* () {
        yield bytes;
      })(),
      { bytes: bytes.byteLength },
    ),
  );
  await drive(ingest.commit());
  const [file] = machine.files.filesBelow('/store/content');
  assert.ok(file);
  machine.files.flipBit(file, 8);
  let given = 0;
  const readAll = async (): Promise<void> => {
    for await (const block of readVerified(store, id)) given += block.byteLength;
  };
  await assert.rejects(drive(readAll()), { code: 'content-damaged' });
  assert.ok(given < bytes.byteLength);
  assert.equal(store.has(id), false);
});

test('distributing to nobody, and a payload of an impossible length, are refused', async () => {
  const { hierarchy, drive, packageId, link } = await bench('nobody');
  const admin = new PeerLink(hierarchy.operator, { name: 'P01', url: 'http://p01:8100', token: 'a'.repeat(32) });
  const body = new Uint8Array(Buffer.from('{"to":"X99"}'));
  const request = { method: 'POST', path: `${httpPaths.package(packageId)}/distribute`, body, signal } as const;
  await assert.rejects(drive(admin.request(request)), { code: 'destination-unknown' });
  const piece = Uint8Array.of(1);
  const headers = {
    'upload-offset': '0',
    'upload-length': String(limits.payloadBytesMax + 1),
    'content-digest': contentDigest(piece),
  };
  const patch = { method: 'PATCH', path: httpPaths.upload('0'.repeat(64)), headers, body: piece, signal } as const;
  await assert.rejects(drive(link('f').request(patch)), { code: 'limit-exceeded' });
});

test('more open uploads than a receiver keeps end in peer-busy, and no begun one is dropped', async () => {
  const { drive, link } = await bench('busy');
  const begin = async (number: number): Promise<void> => {
    const piece = Uint8Array.of(1);
    const path = httpPaths.upload(number.toString(16).padStart(64, '0'));
    const headers = { 'upload-offset': '0', 'upload-length': '2', 'content-digest': contentDigest(piece) };
    await using own = link('f');
    await own.bytes(await own.request({ method: 'PATCH', path, headers, body: piece, signal }));
  };
  for (let number = 0; number < limits.openUploadCountMax; number += 1) await drive(begin(number));
  await assert.rejects(drive(begin(limits.openUploadCountMax)), { code: 'peer-busy' });
  const first = await drive(link('f').request({ method: 'GET', path: httpPaths.upload('0'.repeat(64)), signal }));
  assert.equal(first.status, 200);
});

test('two trees under one number are told, neither is overwritten, and the next version replaces both', async () => {
  const { hierarchy, drive, packageId } = await bench('conflict');
  // A parent that lost everything, its memory of versions too, and begins again at 1 with other content.
  const parent = hierarchy.machine('p01');
  parent.kill();
  parent.files.removeTree('/node');
  const child = hierarchy.machine('c01');
  const manifest = child.files.readFile(`/node/catalog/manifests/${packageId}/1.manifest`);
  hierarchy.publishSource(new Map([['a', hierarchy.simulation.seeded.fork('other').bytes(150_000)]]));
  hierarchy.startNode('p01');
  await drive(hierarchy.setUp());
  await drive(hierarchy.reaches('p01', packageId, 1));
  await drive(hierarchy.operatorClock.sleep(60_000));
  assert.deepEqual(child.files.readFile(`/node/catalog/manifests/${packageId}/1.manifest`), manifest);
  parent.kill();
  hierarchy.startNode('p01');
  await drive(hierarchy.operatorClock.sleep(60_000));
  const { messages } = await drive(hierarchy.status('p01'));
  assert.ok(messages.some((message) => message.id === 30011));
  hierarchy.forgetSources();
  hierarchy.publishSource(new Map());
  hierarchy.publishSource(new Map([['a', hierarchy.simulation.seeded.fork('third').bytes(160_000)]]));
  await drive(hierarchy.update(packageId));
  await drive(hierarchy.reaches('c01', packageId, 2));
  await drive(hierarchy.check('c01'));
});

/** A machine that answers as `handle` says, and a link to it. */
async function liar(seed: string, handle: Handler) {
  const simulation = new Simulation(seed);
  const drive = <Result>(promise: Promise<Result>): Promise<Result> => simulation.drive(promise, patience);
  const server = simulation.machine('liar').boot();
  const world = simulation.machine('asker').boot();
  await drive(server.network.serve({ host: '0.0.0.0', port: 80, connectionCountMax: 10, handle }));
  const link = new PeerLink(world, { name: 'liar', url: 'http://liar:80', token: 't'.repeat(32) });
  return { simulation, drive, world, link };
}

const json = (value: unknown) => new Uint8Array(Buffer.from(JSON.stringify(value)));

test('a receiver that keeps moving the offset is left, without an endless sending', async () => {
  let patchCount = 0;
  const { simulation, drive, world, link } = await liar('409', async (request) => {
    if (request.method === 'GET')
      return { status: 200, body: json({ state: 'receiving', offset: 0, length: 100_000 }) };
    for await (const _block of request.body);
    patchCount += 1;
    return { status: 409, headers: { 'upload-offset': patchCount % 2 === 0 ? '0' : '65536' } };
  });
  simulation.machines.find((machine) => machine.name === 'asker')?.files.writeFile('/payload', new Uint8Array(100_000));
  const order = {
    id: '0'.repeat(64) as ContentId,
    path: '/payload',
    bytes: 100_000,
    signal,
    onProgress: async () => {},
  };
  await assert.rejects(drive(uploadPayload(world, link, order)), { code: 'peer-answer-invalid' });
  assert.ok(patchCount < 10);
});

test('answers that are no JSON, of no known shape, too long, or of another range are peer-answer-invalid', async () => {
  const answers: Record<string, Awaited<ReturnType<Handler>>> = {
    [httpPaths.upload('0'.repeat(64))]: { status: 200, body: new Uint8Array(Buffer.from('{"state":')) },
    '/head': { status: 200, headers: { 'content-length': '0' } },
    '/range': { status: 206, headers: { 'content-range': 'bytes 5-9/10', etag: '"x"' }, body: new Uint8Array(5) },
    '/whole': { status: 200, headers: { etag: '"x"' }, body: new Uint8Array(10) },
  };
  const { drive, world, link } = await liar('nonsense', async (request) => answers[request.path] ?? { status: 500 });
  const order = { id: '0'.repeat(64) as ContentId, path: '/none', bytes: 1, signal, onProgress: async () => {} };
  await assert.rejects(drive(uploadPayload(world, link, order)), { code: 'peer-answer-invalid' });
  await assert.rejects(drive(lookUp(link, '/head', signal)), { code: 'peer-answer-invalid' });
  for (const path of ['/range', '/whole']) {
    const asked = { path, identity: 'x', bytes: 10, startByte: 0, signal, take: async () => {} };
    await assert.rejects(drive(download(link, asked)), { code: 'peer-answer-invalid' });
  }
  await assert.rejects(drive(link.request({ method: 'GET', path: '/anything', signal })), { code: 'peer-refused' });
});

test('what waits for a closed address says so, and what opens it', async () => {
  const { hierarchy, drive, packageId } = await bench('closed');
  await drive(hierarchy.command('p01', 'PUT', `${httpPaths.destination('C01')}/open`, { isOpen: false }));
  hierarchy.publishSource(new Map([['a', new Uint8Array(5)]]));
  await drive(hierarchy.update(packageId));
  await drive(hierarchy.operatorClock.sleep(10_000));
  const { waiting } = await drive(hierarchy.status('p01'));
  const job = waiting.find((candidate) => candidate.key === `${packageId}/C01`);
  assert.equal(job?.error?.code, 'address-closed');
  assert.match(job?.error?.hint ?? '', /address open C01/);
});
