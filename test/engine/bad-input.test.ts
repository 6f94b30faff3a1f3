/** What people and disks do to a site: each ends in a clear error with a code, or works; nothing stored is lost. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { PeerLink } from '../../src/engine/transfer/peer-link.ts';
import { uploadPayload } from '../../src/engine/transfer/upload.ts';
import { type ContentId, contentIdOf } from '../../src/model/content.ts';
import { httpPaths } from '../../src/wire/http.ts';
import { encodePayloadHead, encodePreamble, encodeRecord } from '../../src/wire/payload.ts';
import { Hierarchy, smallHierarchy, type Tree } from '../scenarios/hierarchy.ts';
import { warmUp } from '../scenarios/warm-up.ts';

/** Longest virtual time anything here may take. */
const patience = { virtualMsMax: 20 * 60_000 };

const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));

interface Bench {
  readonly hierarchy: Hierarchy;
  readonly drive: <Result>(promise: Promise<Result>) => Promise<Result>;
}

/** A parent, a child and a branch, up and wired, the package not yet created. */
async function bench(seed: string): Promise<Bench> {
  await warmUp();
  const hierarchy = new Hierarchy(seed, smallHierarchy);
  const drive = <Result>(promise: Promise<Result>): Promise<Result> => hierarchy.simulation.drive(promise, patience);
  for (const host of hierarchy.hosts) hierarchy.startNode(host);
  return { hierarchy, drive };
}

const plain: Tree = new Map([['a.txt', bytesOf('hello')]]);

/** Waits until p01 tells of the package's trouble, and returns its code. */
async function snapshotError(hierarchy: Hierarchy): Promise<string> {
  for (;;) {
    const { packages } = await hierarchy.status('p01');
    const code = packages[0]?.error?.code;
    if (code !== undefined) return code;
    await hierarchy.operatorClock.sleep(200);
  }
}

/** Each spoils the source of a package that is about to be created. */
const spoilers: readonly [string, string, (hierarchy: Hierarchy) => void][] = [
  ['an empty folder', 'source-empty', (h) => h.machine('p01').files.makeDirectory('/source')],
  [
    'a device',
    'source-unsupported',
    (h) => {
      h.publishSource(plain);
      h.machine('p01').files.makeOther('/source/pipe');
    },
  ],
  [
    'a link out of the package',
    'path-refused',
    (h) => {
      h.publishSource(plain);
      h.machine('p01').files.symlink('../../etc/passwd', '/source/link');
    },
  ],
  [
    'an absolute link',
    'path-refused',
    (h) => {
      h.publishSource(plain);
      h.machine('p01').files.symlink('/etc/passwd', '/source/link');
    },
  ],
  [
    'a name with a back-slash',
    'path-refused',
    (h) => {
      h.publishSource(plain);
      h.machine('p01').files.writeFile('/source/..\\evil', 'x');
    },
  ],
  [
    'an unreadable file',
    'source-unreadable',
    (h) => {
      h.publishSource(plain);
      h.machine('p01').files.setDenied('/source/a.txt', true);
    },
  ],
  [
    'an unreadable folder',
    'source-unreadable',
    (h) => {
      h.publishSource(plain);
      h.machine('p01').files.writeFile('/source/d/b', 'x');
      h.machine('p01').files.setDenied('/source/d', true);
    },
  ],
];

for (const [what, code, spoil] of spoilers) {
  test(`a source with ${what} ends in ${code}, and works once it is mended`, async () => {
    const { hierarchy, drive } = await bench(what);
    spoil(hierarchy);
    const packageId = await drive(hierarchy.setUp());
    assert.equal(await drive(snapshotError(hierarchy)), code);
    hierarchy.machine('p01').files.removeTree('/source');
    hierarchy.forgetSources();
    hierarchy.publishSource(plain);
    await drive(hierarchy.update(packageId));
    for (const host of hierarchy.hosts) {
      await drive(hierarchy.reaches(host, packageId, 1));
      await drive(hierarchy.check(host));
    }
  });
}

test('a package is refused at once whose source is missing, a file, or the site itself', async () => {
  const { hierarchy, drive } = await bench('missing');
  const link = new PeerLink(hierarchy.operator, { name: 'P01', url: 'http://p01:8100', token: 'a'.repeat(32) });
  const { signal } = new AbortController();
  await drive(hierarchy.status('p01'));
  hierarchy.machine('p01').files.writeFile('/file', 'x');
  for (const [source, code] of [
    ['/nowhere', 'source-missing'],
    ['/file', 'source-missing'],
  ] as const) {
    const body = bytesOf(JSON.stringify({ name: 'editor', source }));
    await assert.rejects(drive(link.request({ method: 'POST', path: httpPaths.packages, body, signal })), { code });
  }
});

for (const source of ['/', '/node', '/node/catalog']) {
  test(`the site's own directory is never published, as from the source ${source}`, async () => {
    const { hierarchy, drive } = await bench(`own ${source}`);
    await drive(hierarchy.command('p01', 'POST', httpPaths.packages, { name: 'self', source }));
    assert.equal(await drive(snapshotError(hierarchy)), 'path-refused');
  });
}

test('the token for reading sends nothing, and nobody sends a site versions of its own packages', async () => {
  const { hierarchy, drive } = await bench('tokens');
  hierarchy.publishSource(plain);
  const packageId = await drive(hierarchy.setUp());
  await drive(hierarchy.reaches('c01', packageId, 1));
  const [file] = hierarchy.machine('c01').files.filesBelow(`/node/outbox/${packageId}`);
  assert.ok(file);
  const bytes = hierarchy.machine('c01').files.readFile(file) ?? new Uint8Array();
  const id = contentIdOf(createHash('sha256').update(bytes).digest());
  hierarchy.machine('operator').files.writeFile('/payload', bytes);
  const send = (token: string) => {
    const link = new PeerLink(hierarchy.operator, { name: 'P01', url: 'http://p01:8100', token });
    const order = {
      id,
      path: '/payload',
      bytes: bytes.byteLength,
      signal: new AbortController().signal,
      onProgress: async () => {},
    };
    return drive(uploadPayload(hierarchy.operator, link, order));
  };
  await assert.rejects(send('p'.repeat(32)), { code: 'peer-unauthorized' });
  assert.deepEqual(
    [(await send('f'.repeat(32))).state, (await send('f'.repeat(32))).error],
    ['failed', 'payload-invalid'],
  );
});

test('zero-byte files, 10,000 small files, names in any script, by case and by normalisation all arrive', async () => {
  const { hierarchy, drive } = await bench('many');
  const tree = new Map<string, Uint8Array>([
    ['empty', new Uint8Array(0)],
    ['also/empty', new Uint8Array(0)],
    ['文件/ファイル/файл/🚀 spaced name', bytesOf('x')],
    ['xt_DSCP.ko', bytesOf('upper')],
    ['xt_dscp.ko', bytesOf('lower')],
    ['\u00e9', bytesOf('composed')],
    ['e\u0301', bytesOf('decomposed')],
    ['con', bytesOf('a device elsewhere')],
  ]);
  for (let index = 0; index < 10_000; index += 1) tree.set(`many/${index % 100}/${index}`, bytesOf(`file ${index}`));
  hierarchy.publishSource(tree);
  const packageId = await drive(hierarchy.setUp());
  for (const host of hierarchy.hosts) await drive(hierarchy.reaches(host, packageId, 1));
  await drive(hierarchy.check('b01'));
  const { messages } = await drive(hierarchy.status('p01'));
  const warning = messages.find((message) => message.id === 30003)?.text ?? '';
  for (const name of ['xt_dscp.ko', 'con']) assert.match(warning, new RegExp(name));
});

test('a file that changes while it is read is never taken half: the snapshot waits for a quiet moment', async () => {
  const { hierarchy, drive } = await bench('changing');
  hierarchy.publishSource(new Map([['log', new Uint8Array(3_000_000)]]));
  await drive(hierarchy.status('p01'));
  const { files } = hierarchy.worldOf('p01');
  let isQuiet = false;
  const scribble = async (): Promise<void> => {
    await using log = await files.open('/source/log', 'update');
    for (let line = 0; !isQuiet; line += 1) await log.write(line, bytesOf('!'));
  };
  const scribbling = scribble();
  const packageId = await drive(hierarchy.setUp());
  assert.equal(await drive(snapshotError(hierarchy)), 'source-changed');
  isQuiet = true;
  await drive(scribbling);
  hierarchy.forgetSources();
  hierarchy.publishSource(
    new Map([['log', hierarchy.machine('p01').files.readFile('/source/log') ?? new Uint8Array()]]),
  );
  for (const host of hierarchy.hosts) {
    await drive(hierarchy.reaches(host, packageId, 1));
    await drive(hierarchy.check(host));
  }
});

for (const host of ['p01', 'c01', 'b01']) {
  test(`a full disk at ${host} loses nothing, and the work goes on once there is room`, async () => {
    const { hierarchy, drive } = await bench(`full ${host}`);
    hierarchy.publishSource(new Map([['big', hierarchy.simulation.seeded.bytes(2_000_000)]]));
    const packageId = await drive(hierarchy.setUp());
    for (const each of hierarchy.hosts) await drive(hierarchy.reaches(each, packageId, 1));
    const { files } = hierarchy.machine(host);
    files.capacityBytes = files.usedBytes + 300_000;
    hierarchy.publishSource(new Map([['big', hierarchy.simulation.seeded.fork('next').bytes(2_000_000)]]));
    await drive(hierarchy.update(packageId));
    await drive(hierarchy.operatorClock.sleep(60_000));
    await drive(hierarchy.check(host));
    files.capacityBytes = Number.POSITIVE_INFINITY;
    for (const each of hierarchy.hosts) {
      await drive(hierarchy.reaches(each, packageId, 2));
      await drive(hierarchy.check(each));
    }
  });
}

test('a second process on the same directory is refused, the first goes on', async () => {
  const { hierarchy, drive } = await bench('twice');
  await drive(hierarchy.status('p01'));
  await assert.rejects(drive(hierarchy.openSecond('p01', '/node')), { code: 'already-running' });
  await drive(hierarchy.status('p01'));
});

test('a port in use is told, and nothing of the node runs', async () => {
  const { hierarchy, drive } = await bench('port');
  await drive(hierarchy.status('p01'));
  await assert.rejects(drive(hierarchy.openSecond('p01', '/other')), { code: 'port-in-use' });
  // The directory was given back: only the port was the trouble.
  await assert.rejects(drive(hierarchy.openSecond('p01', '/other')), { code: 'port-in-use' });
});

for (const host of ['p01', 'c01', 'b01']) {
  test(`a damaged database at ${host} is set aside and made anew, without sending anything twice`, async () => {
    const { hierarchy, drive } = await bench(`damaged ${host}`);
    hierarchy.publishSource(new Map([['big', hierarchy.simulation.seeded.bytes(500_000)], ...plain]));
    const packageId = await drive(hierarchy.setUp());
    for (const each of hierarchy.hosts) await drive(hierarchy.reaches(each, packageId, 1));
    const machine = hierarchy.machine(host);
    machine.kill();
    const records = machine.files.databaseAt('/node/database');
    assert.ok(records);
    records.isDamaged = true;
    hierarchy.startNode(host);
    await drive(hierarchy.check(host));
    const { messages, packages } = await drive(hierarchy.status(host));
    assert.ok(messages.some((message) => message.id === 30007));
    assert.equal(packages[0]?.version, 1);
    await drive(hierarchy.operatorClock.sleep(60_000));
    // Everything was found again on the disk: nobody had to send version 1 once more.
    for (const each of hierarchy.hosts) {
      const { hops } = await drive(hierarchy.status(each));
      for (const name of ['C01', 'B01'])
        assert.ok(hops.filter((hop) => hop.to === name && hop.version === 1).length <= 1);
    }
    hierarchy.publishSource(new Map([['big', hierarchy.simulation.seeded.bytes(400_000)]]));
    await drive(hierarchy.update(packageId));
    for (const each of hierarchy.hosts) await drive(hierarchy.reaches(each, packageId, 2));
  });
}

test('a payload whose manifest lies is refused with a code, and what is installed stays', async () => {
  const { hierarchy, drive } = await bench('liar');
  hierarchy.publishSource(plain);
  const packageId = await drive(hierarchy.setUp());
  await drive(hierarchy.reaches('c01', packageId, 1));
  const evil = bytesOf('not a manifest at all');
  const head = {
    packageId,
    basisVersion: 0,
    version: 9,
    variant: '',
    manifestBytes: evil.byteLength,
    mechanisms: nothing,
  };
  const records = [
    { kind: 'head', coding: 'raw', rawBytes: 0, body: encodePayloadHead(head) },
    { kind: 'manifest', coding: 'raw', rawBytes: 0, body: evil },
    { kind: 'end', coding: 'raw', rawBytes: 0, body: new Uint8Array(0) },
  ] as const;
  const bytes = Buffer.concat([
    encodePreamble(),
    ...records.flatMap((record) => encodeRecord({ ...record, rawBytes: record.body.byteLength })),
  ]);
  const id: ContentId = contentIdOf(createHash('sha256').update(bytes).digest());
  hierarchy.simulation.machines
    .find((machine) => machine.name === 'operator')
    ?.files.writeFile('/evil', new Uint8Array(bytes));
  const link = new PeerLink(hierarchy.operator, { name: 'C01', url: 'http://c01:8100', token: 'f'.repeat(32) });
  const order = {
    id,
    path: '/evil',
    bytes: bytes.byteLength,
    signal: new AbortController().signal,
    onProgress: async () => {},
  };
  const verdict = await drive(uploadPayload(hierarchy.operator, link, order));
  assert.deepEqual([verdict.state, verdict.error], ['failed', 'format-invalid']);
  const { messages, packages } = await drive(hierarchy.status('c01'));
  assert.ok(messages.some((message) => message.id === 30005));
  assert.equal(packages[0]?.version, 1);
  await drive(hierarchy.check('c01'));
});

const nothing = {
  present: { contents: 0, bytes: 0 },
  diff: { contents: 0, bytes: 0 },
  whole: { contents: 0, bytes: 0 },
};

test('a wrong token opens nothing: every route answers 401', async () => {
  const { hierarchy, drive } = await bench('token');
  await drive(hierarchy.status('c01'));
  for (const token of ['', 'x'.repeat(32), 'a'.repeat(31), 'A'.repeat(32)]) {
    const link = new PeerLink(hierarchy.operator, { name: 'C01', url: 'http://c01:8100', token });
    for (const path of [httpPaths.packages, httpPaths.status, httpPaths.node, '/v1/nothing']) {
      const answer = link.request({ method: 'GET', path, signal: new AbortController().signal });
      await assert.rejects(drive(answer), { code: 'peer-unauthorized' });
    }
  }
  // The peer's token does not command.
  const link = new PeerLink(hierarchy.operator, { name: 'C01', url: 'http://c01:8100', token: 'p'.repeat(32) });
  await assert.rejects(
    drive(link.request({ method: 'GET', path: httpPaths.status, signal: new AbortController().signal })),
    { code: 'peer-unauthorized' },
  );
});
