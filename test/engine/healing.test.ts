/** Disks are wiped, backups restored, files lost behind our back: it is noticed, told, and made good. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../src/model/limits.ts';
import type { PackageId } from '../../src/model/package.ts';
import { httpPaths } from '../../src/wire/http.ts';
import { Hierarchy, smallHierarchy } from '../scenarios/hierarchy.ts';
import { warmUp } from '../scenarios/warm-up.ts';

const patience = { virtualMsMax: 3 * limits.inventoryIntervalMs };

interface Installed {
  readonly hierarchy: Hierarchy;
  readonly packageId: PackageId;
  readonly drive: <Result>(promise: Promise<Result>) => Promise<Result>;
}

/** A parent, a child and a branch that all hold version 1. */
async function installed(seed: string): Promise<Installed> {
  await warmUp();
  const hierarchy = new Hierarchy(seed, smallHierarchy);
  const drive = <Result>(promise: Promise<Result>): Promise<Result> => hierarchy.simulation.drive(promise, patience);
  hierarchy.publishSource(
    new Map([
      ['big', hierarchy.simulation.seeded.bytes(400_000)],
      ['small', hierarchy.simulation.seeded.bytes(400)],
    ]),
  );
  for (const host of hierarchy.hosts) hierarchy.startNode(host);
  const packageId = await drive(hierarchy.setUp());
  for (const host of hierarchy.hosts) await drive(hierarchy.reaches(host, packageId, 1));
  return { hierarchy, packageId, drive };
}

test('a child whose disk was wiped gets everything again, without a person', async () => {
  const { hierarchy, packageId, drive } = await installed('wiped');
  const child = hierarchy.machine('c01');
  child.kill();
  child.files.removeTree('/node');
  hierarchy.startNode('c01');
  await drive(hierarchy.reaches('c01', packageId, 1));
  await drive(hierarchy.check('c01'));
  const { messages } = await drive(hierarchy.status('p01'));
  assert.ok(messages.some((message) => message.id === 30004));
});

for (const room of ['content', 'packs']) {
  test(`a child that lost its ${room} claims the version no more, and gets what is missing`, async () => {
    const { hierarchy, packageId, drive } = await installed(`lost ${room}`);
    const child = hierarchy.machine('c01');
    child.kill();
    for (const path of child.files.filesBelow(`/node/${room}`)) child.files.removeTree(path);
    hierarchy.startNode('c01');
    await drive(hierarchy.reaches('c01', packageId, 1));
    // Somebody reads, the loss is found, the claim is withdrawn, the parent asks in its time.
    await drive(hierarchy.check('c01'));
    await drive(hierarchy.operatorClock.sleep(limits.inventoryIntervalMs + 60_000));
    await drive(hierarchy.reaches('c01', packageId, 1));
    const checked = hierarchy.checkedFileCount;
    await drive(hierarchy.check('c01'));
    assert.equal(hierarchy.checkedFileCount, checked + 2);
  });
}

test('a parent restored from an old backup never gives a version number twice', async () => {
  const { hierarchy, packageId, drive } = await installed('restored');
  const parent = hierarchy.machine('p01');
  parent.kill();
  parent.files.removeTree(`/node/catalog/manifests/${packageId}/1.manifest`);
  hierarchy.publishSource(new Map([['big', hierarchy.simulation.seeded.bytes(300_000)]]));
  hierarchy.startNode('p01');
  for (const host of ['c01', 'b01']) await drive(hierarchy.reaches(host, packageId, 2));
  await drive(hierarchy.check('b01'));
  const { messages } = await drive(hierarchy.status('p01'));
  assert.ok(messages.some((message) => message.id === 30009));
});

test('a content that rots at the parent is not sent, is told, and is read from the source again', async () => {
  const { hierarchy, packageId, drive } = await installed('rotten');
  const parent = hierarchy.machine('p01');
  for (const path of parent.files.filesBelow('/node/content')) parent.files.flipBit(path, 1_000);
  for (const path of parent.files.filesBelow('/node/outbox')) parent.files.removeTree(path);
  const child = hierarchy.machine('c01');
  child.kill();
  child.files.removeTree('/node');
  hierarchy.startNode('c01');
  await drive(hierarchy.command('p01', 'POST', `${httpPaths.package(packageId)}/distribute`, { to: 'C01' }));
  await drive(hierarchy.reaches('c01', packageId, 1));
  const { checkedFileCount } = hierarchy;
  await drive(hierarchy.check('c01'));
  assert.equal(hierarchy.checkedFileCount, checkedFileCount + 2);
  const { messages } = await drive(hierarchy.status('p01'));
  assert.ok(messages.some((message) => message.id === 30010));
});

test('a closed address carries not one byte, and what waited goes when it opens', async () => {
  const { hierarchy, packageId, drive } = await installed('closed');
  const open = (isOpen: boolean): Promise<unknown> =>
    drive(hierarchy.command('p01', 'PUT', `${httpPaths.destination('C01')}/open`, { isOpen }));
  await open(false);
  let carried = 0;
  hierarchy.simulation.trace.onLine = (line) => {
    if (/ c01 request .* from p01/.test(line)) carried += 1;
  };
  hierarchy.publishSource(new Map([['big', hierarchy.simulation.seeded.fork('2').bytes(400_000)]]));
  await drive(hierarchy.update(packageId));
  await drive(hierarchy.reaches('p01', packageId, 2));
  await drive(hierarchy.operatorClock.sleep(600_000));
  assert.equal(carried, 0);
  await open(true);
  await drive(hierarchy.reaches('c01', packageId, 2));
});

test('commands given at once all count', async () => {
  await warmUp();
  const hierarchy = new Hierarchy('at once', smallHierarchy);
  const drive = <Result>(promise: Promise<Result>): Promise<Result> => hierarchy.simulation.drive(promise, patience);
  for (const host of hierarchy.hosts) hierarchy.startNode(host);
  hierarchy.publishSource(new Map([['a', new Uint8Array(1)]]));
  const create = (name: string): Promise<unknown> =>
    hierarchy.command('p01', 'POST', httpPaths.packages, { name, source: '/source' });
  const answers = await drive(Promise.all(['one', 'two', 'three'].map(create)));
  assert.equal(new Set(answers.map((answer) => JSON.stringify(answer))).size, 3);
  const { packages } = await drive(hierarchy.status('p01'));
  assert.deepEqual(packages.map((record) => record.name).sort(), ['one', 'three', 'two']);
});

test('a basis that rotted at the sender is not copied from: the new version goes whole', async () => {
  const { hierarchy, packageId, drive } = await installed('basis');
  const parent = hierarchy.machine('p01');
  for (const path of parent.files.filesBelow('/node/content')) parent.files.flipBit(path, 1_000);
  const next = hierarchy.simulation.seeded.fork('next').bytes(400_000);
  hierarchy.publishSource(new Map([['big', next]]));
  await drive(hierarchy.update(packageId));
  for (const host of ['c01', 'b01']) {
    await drive(hierarchy.reaches(host, packageId, 2));
    await drive(hierarchy.check(host));
  }
});

for (const offset of [26, 100_000]) {
  test(`a payload that rotted at byte ${offset} is made anew, for a push and for a pull`, async () => {
    const { hierarchy, packageId, drive } = await installed(`payload ${offset}`);
    for (const host of ['p01', 'c01']) {
      const machine = hierarchy.machine(host);
      machine.kill();
      for (const path of machine.files.filesBelow('/node/outbox')) machine.files.flipBit(path, 8 * offset);
    }
    for (const host of ['c01', 'b01']) {
      hierarchy.machine(host).kill();
      if (host === 'b01') hierarchy.machine(host).files.removeTree('/node');
    }
    hierarchy.machine('c01').files.removeTree(`/node/catalog/manifests/${packageId}`);
    for (const host of hierarchy.hosts) hierarchy.startNode(host);
    for (const host of ['c01', 'b01']) {
      await drive(hierarchy.reaches(host, packageId, 1));
      await drive(hierarchy.check(host));
    }
  });
}
