import assert from 'node:assert/strict';
import { connect, createServer, type Server as RawServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { limits } from '../../src/model/limits.ts';
import type { LogFields } from '../../src/world/log.ts';
import type { Handler, Server } from '../../src/world/network.ts';
import { realNetwork } from '../../src/world/real-network.ts';
import { patternBytes, readAll, rejectsWithCode } from '../conformance/expect.ts';
import { networkConformance } from '../conformance/network.ts';

networkConformance('realNetwork', async () => ({
  network: realNetwork(),
  host: '127.0.0.1',
  [Symbol.asyncDispose]: async () => {},
}));

function serve(handle: Handler, connectionCountMax = 32): Promise<Server> {
  return realNetwork().serve({ host: '127.0.0.1', port: 0, handle, connectionCountMax });
}

/** Sends raw bytes and gives what came back until the peer closed, or `untilBytes` arrived. */
function raw(origin: string, bytes: string, untilBytes = Number.POSITIVE_INFINITY): Promise<string> {
  return new Promise((resolve) => {
    let received = '';
    const socket = connect(Number(new URL(origin).port), '127.0.0.1', () => socket.write(bytes, 'latin1'));
    socket.on('data', (part) => {
      received += part.toString('latin1');
      if (received.length >= untilBytes) socket.destroy();
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(received));
  });
}

interface RawPeer extends AsyncDisposable {
  readonly origin: string;
  readonly sockets: readonly Socket[];
}

/** A server that answers each first bytes with `answer` and then does what `after` says. */
async function rawPeer(answer: string, after: (socket: Socket) => void): Promise<RawPeer> {
  const sockets: Socket[] = [];
  const server: RawServer = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.once('data', () => socket.write(answer, 'latin1', () => after(socket)));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return {
    origin: `http://127.0.0.1:${address.port}`,
    sockets,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

const DEVIATIONS: Readonly<Record<string, string>> = {
  'two Host fields': 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n',
  'two equal Host fields': 'GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n',
  'no Host field': 'GET / HTTP/1.1\r\n\r\n',
  'a transfer coding on HTTP/1.0': 'POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  'version 2.0': 'GET / HTTP/2.0\r\nHost: a\r\n\r\n',
  'a target in absolute form': 'GET http://evil/x HTTP/1.1\r\nHost: a\r\n\r\n',
  'a target that is no path': 'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n',
  'both lengths': 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX',
  'two lengths': 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 5\r\n\r\nabcde',
  'a space before the colon': 'GET / HTTP/1.1\r\nHost : a\r\n\r\n',
  'a folded field': 'GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n',
};

for (const [what, bytes] of Object.entries(DEVIATIONS)) {
  test(`serveHttp() answers ${what} with 400, closes, and no handler hears of it`, async () => {
    let count = 0;
    await using server = await serve(async () => {
      count += 1;
      return { status: 200 };
    });
    const received = await raw(server.origin, `${bytes}GET /second HTTP/1.1\r\nHost: a\r\n\r\n`);
    assert.match(received, /^HTTP\/1\.1 400 /);
    assert.equal(received.match(/HTTP\/1\.1 /g)?.length, 1);
    assert.equal(count, 0);
  });
}

test('serveHttp() refuses a head beyond requestHeadBytesMax', async () => {
  await using server = await serve(async () => ({ status: 200 }));
  const head = `GET / HTTP/1.1\r\nHost: a\r\nX: ${'a'.repeat(limits.requestHeadBytesMax)}\r\n\r\n`;
  assert.match(await raw(server.origin, head), /^HTTP\/1\.1 431 /);
});

test('serveHttp() refuses connections beyond connectionCountMax', async () => {
  await using server = await serve(async () => ({ status: 200 }), 1);
  await using first = realNetwork().connect(server.origin);
  await readAll((await first.request({ method: 'GET', path: '/' })).body);
  await using second = realNetwork().connect(server.origin);
  await rejectsWithCode(second.request({ method: 'GET', path: '/' }), 'link-failed');
  await readAll((await first.request({ method: 'GET', path: '/' })).body);
});

test('serveHttp() logs what a handler throws and tells the peer nothing', async () => {
  const lines: [string, string, LogFields | undefined][] = [];
  const network = realNetwork({ log: (...line) => lines.push([line[0], line[1], line[2]]) });
  const handle: Handler = async () => {
    throw new Error('secret detail');
  };
  await using server = await network.serve({ host: '127.0.0.1', port: 0, handle, connectionCountMax: 4 });
  const received = await raw(server.origin, 'GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  assert.match(received, /^HTTP\/1\.1 500 /);
  assert.ok(!received.includes('secret'));
  assert.deepEqual(lines, [['error', 'request failed', { method: 'GET', path: '/x', error: 'Error: secret detail' }]]);
});

test('serveHttp() keeps a connection after a small unread body and closes it on a large one', async () => {
  await using server = await serve(async () => ({ status: 413 }));
  const small =
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcdGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
  assert.equal((await raw(server.origin, small)).match(/HTTP\/1\.1 413/g)?.length, 2);
  const large = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\nabcd';
  const received = await raw(server.origin, large);
  assert.match(received, /^HTTP\/1\.1 413 /);
  assert.match(received, /connection: close/i);
});

test('serveHttp() hands a piece wholly over before it asks for the next, so that its buffer may be reused', async () => {
  const block = new Uint8Array(100_000);
  await using server = await serve(async () => ({
    status: 200,
    headers: { 'content-length': '5000000' },
    body: (async function* () {
      for (let round = 0; round < 50; round += 1) yield block.fill(round);
    })(),
  }));
  await using connection = realNetwork().connect(server.origin);
  const body = await readAll((await connection.request({ method: 'GET', path: '/' })).body);
  for (let round = 0; round < 50; round += 1) {
    assert.ok(body.subarray(round * 100_000, (round + 1) * 100_000).every((byte) => byte === round));
  }
});

test('serveHttp() names the ports and addresses it cannot have', async () => {
  const serveOn = (host: string): Promise<Server> =>
    realNetwork().serve({ host, port: 0, handle: async () => ({ status: 200 }), connectionCountMax: 1 });
  await rejectsWithCode(serveOn('192.0.2.1'), 'config-invalid');
});

test('wireBytes() equals what the peer counted on its sockets', async () => {
  const answer = `HTTP/1.1 200 OK\r\ncontent-length: 5000\r\nconnection: close\r\n\r\n${'x'.repeat(5000)}`;
  await using peer = await rawPeer(answer, (socket) => socket.end());
  await using connection = realNetwork().connect(peer.origin);
  for (let round = 0; round < 3; round += 1) {
    const response = await connection.request({ method: 'PUT', path: '/', body: patternBytes(1000) });
    assert.equal((await readAll(response.body)).length, 5000);
  }
  await connection[Symbol.asyncDispose]();
  assert.equal(peer.sockets.length, 3);
  const received = peer.sockets.reduce((sum, socket) => sum + socket.bytesWritten, 0);
  const sent = peer.sockets.reduce((sum, socket) => sum + socket.bytesRead, 0);
  assert.deepEqual(connection.wireBytes(), { sent, received });
});

test('a connection is used again for the next request', async () => {
  await using peer = await rawPeer('HTTP/1.1 204 No Content\r\n\r\n', (socket) => {
    socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc'));
  });
  await using connection = realNetwork().connect(peer.origin);
  for (let round = 0; round < 6; round += 1) {
    await readAll((await connection.request({ method: 'GET', path: '/' })).body);
  }
  assert.equal(peer.sockets.length, 1);
});

const BROKEN_ANSWERS: Readonly<Record<string, string>> = {
  'nothing at all': '',
  'half a head': 'HTTP/1.1 200 OK\r\ncontent-le',
  'no HTTP': 'SSH-2.0-OpenSSH\r\n',
  'a body cut short': 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabcd',
  'a chunked body cut short': 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nabcd\r\n',
  'a body of unknown length': 'HTTP/1.1 200 OK\r\n\r\nabcd',
};

for (const [what, answer] of Object.entries(BROKEN_ANSWERS)) {
  test(`an answer of ${what} is link-failed`, async () => {
    await using peer = await rawPeer(answer, (socket) => socket.end());
    await using connection = realNetwork().connect(peer.origin);
    await rejectsWithCode(async () => {
      const response = await connection.request({ method: 'GET', path: '/' });
      await readAll(response.body);
    }, 'link-failed');
  });
}

test('an upload that moves slowly is not silence', async () => {
  // The peer takes 64 KiB at a time with a short rest between. The whole lasts longer than the silence allowed; what
  // the kernel buffers of a loopback connection (up to some 10 MB) takes less.
  await using peer = await slowPeer(30_000_000);
  await using connection = realNetwork().connect(peer.origin);
  const startMs = performance.now();
  const body = new Uint8Array(30_000_000);
  const response = await connection.request({ method: 'PUT', path: '/', body, silenceMsMax: 900 });
  assert.equal(response.status, 204);
  const elapsedMs = performance.now() - startMs;
  assert.ok(elapsedMs > 900, `took ${elapsedMs} ms, too fast to show anything`);
});

async function slowPeer(bytes: number): Promise<RawPeer> {
  let taken = 0;
  return rawPeer('', (socket) => {
    socket.pause();
    socket.on('data', (part) => {
      taken += part.length;
      if (taken >= bytes - 65_536) return socket.write('HTTP/1.1 204 No Content\r\n\r\n');
      socket.pause();
      setTimeout(() => socket.resume(), 3);
    });
    socket.resume();
  });
}

test('a path or header no request may carry is a mistake of the caller', async () => {
  await using server = await serve(async () => ({ status: 200 }));
  await using connection = realNetwork().connect(server.origin);
  await assert.rejects(connection.request({ method: 'GET', path: '/a b\r\nX: y' }), { code: 'UND_ERR_INVALID_ARG' });
  await assert.rejects(connection.request({ method: 'GET', path: '/', headers: { x: 'a\r\nb' } }), {
    code: 'UND_ERR_INVALID_ARG',
  });
  assert.throws(() => realNetwork().connect('https://example.invalid'), TypeError);
});
