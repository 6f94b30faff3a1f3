/**
 * What every `Network` keeps. `host` is an address this network serves on and connects to; port 0 must work there.
 * Nothing here waits for time to pass except the two tests of silence, which use tens of milliseconds of the network's
 * own clock (a simulated clock must advance by itself while everything waits).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Handler, IncomingRequest, Network, OutgoingResponse, Server } from '../../src/world/network.ts';
import { patternBytes, readAll, rejectsWithCode } from './expect.ts';

export interface NetworkSetUp extends AsyncDisposable {
  readonly network: Network;
  readonly host: string;
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8');
const bytesOf = (value: string): Uint8Array => new Uint8Array(Buffer.from(value, 'utf8'));

function serve(world: NetworkSetUp, handle: Handler, port = 0): Promise<Server> {
  return world.network.serve({ host: world.host, port, handle, connectionCountMax: 32 });
}

async function* pieces(...parts: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield part;
}

/** Resolves when the signal aborts. */
function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

export function networkConformance(name: string, setUp: () => Promise<NetworkSetUp>): void {
  exchangeConformance(name, setUp);
  bodyConformance(name, setUp);
  failureConformance(name, setUp);
  abortConformance(name, setUp);
  countingConformance(name, setUp);
}

function exchangeConformance(name: string, setUp: () => Promise<NetworkSetUp>): void {
  test(`${name}: method, path, headers and body arrive, and the answer comes back`, async () => {
    await using world = await setUp();
    const seen: { method: string; path: string; header: string | undefined; body: string }[] = [];
    await using server = await serve(world, async (request) => {
      const body = text(await readAll(request.body));
      seen.push({ method: request.method, path: request.path, header: request.headers['x-one'], body });
      return { status: 201, headers: { 'x-answer': 'yes', 'content-type': 'text/plain' }, body: bytesOf('answer') };
    });
    await using connection = world.network.connect(server.origin);
    const response = await connection.request({
      method: 'POST',
      path: '/a%20b/c?d=e%2Ff',
      headers: { 'X-One': 'two' },
      body: bytesOf('question'),
    });
    assert.equal(response.status, 201);
    assert.equal(response.headers['x-answer'], 'yes');
    assert.equal(response.headers['content-length'], '6');
    assert.equal(text(await readAll(response.body)), 'answer');
    assert.deepEqual(seen, [{ method: 'POST', path: '/a%20b/c?d=e%2Ff', header: 'two', body: 'question' }]);
  });

  for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'] as const) {
    test(`${name}: ${method} arrives as ${method}, and a bodiless answer is empty`, async () => {
      await using world = await setUp();
      await using server = await serve(world, async (request) => {
        assert.equal((await readAll(request.body)).length, 0);
        return { status: 204, headers: { 'x-method': request.method } };
      });
      await using connection = world.network.connect(server.origin);
      const response = await connection.request({ method, path: '/' });
      assert.equal(response.status, 204);
      assert.equal(response.headers['x-method'], method);
      assert.equal((await readAll(response.body)).length, 0);
    });
  }

  test(`${name}: HEAD gives the length of a body it does not send`, async () => {
    await using world = await setUp();
    await using server = await serve(world, async () => ({ status: 200, headers: { 'content-length': '1000' } }));
    await using connection = world.network.connect(server.origin);
    for (let round = 0; round < 2; round += 1) {
      const response = await connection.request({ method: 'HEAD', path: '/' });
      assert.equal(response.headers['content-length'], '1000');
      assert.equal((await readAll(response.body)).length, 0);
    }
  });

  test(`${name}: a redirect is an answer like any other`, async () => {
    await using world = await setUp();
    let count = 0;
    await using server = await serve(world, async () => {
      count += 1;
      return { status: 302, headers: { location: '/elsewhere' } };
    });
    await using connection = world.network.connect(server.origin);
    const response = await connection.request({ method: 'GET', path: '/' });
    assert.equal(response.status, 302);
    assert.equal(response.headers.location, '/elsewhere');
    assert.equal(count, 1);
  });

  test(`${name}: an encoded body is not decoded`, async () => {
    await using world = await setUp();
    await using server = await serve(world, async () => ({
      status: 200,
      headers: { 'content-encoding': 'gzip' },
      body: bytesOf('not gzip at all'),
    }));
    await using connection = world.network.connect(server.origin);
    const response = await connection.request({ method: 'GET', path: '/' });
    assert.equal(text(await readAll(response.body)), 'not gzip at all');
  });

  test(`${name}: many requests at once each get their own answer`, async () => {
    await using world = await setUp();
    await using server = await serve(world, async (request) => ({ status: 200, body: bytesOf(request.path) }));
    await using connection = world.network.connect(server.origin);
    const paths = Array.from({ length: 20 }, (_, index) => `/${index}`);
    const answers = await Promise.all(
      paths.map(async (path) => text(await readAll((await connection.request({ method: 'GET', path })).body))),
    );
    assert.deepEqual(answers, paths);
  });

  test(`${name}: two servers on one port: the second is refused, a closed port is free again`, async () => {
    await using world = await setUp();
    let port: number;
    {
      await using server = await serve(world, async () => ({ status: 200 }));
      port = Number(new URL(server.origin).port);
      assert.ok(port > 0);
      await rejectsWithCode(
        serve(world, async () => ({ status: 200 }), port),
        'port-in-use',
      );
    }
    await using again = await serve(world, async () => ({ status: 200 }), port);
    assert.equal(Number(new URL(again.origin).port), port);
  });
}

function bodyConformance(name: string, setUp: () => Promise<NetworkSetUp>): void {
  for (const count of [0, 1, 65_535, 65_536, 65_537, 3_000_000]) {
    test(`${name}: a body of ${count} bytes arrives whole, both ways`, async () => {
      await using world = await setUp();
      await using server = await serve(world, async (request) => {
        const body = await readAll(request.body);
        return { status: 200, body };
      });
      await using connection = world.network.connect(server.origin);
      const response = await connection.request({ method: 'PUT', path: '/', body: patternBytes(count) });
      assert.equal(response.headers['content-length'], String(count));
      assert.deepEqual(await readAll(response.body), patternBytes(count));
    });
  }

  test(`${name}: an iterable body is sent piece by piece`, async () => {
    await using world = await setUp();
    await using server = await serve(world, async () => ({
      status: 206,
      headers: { 'content-length': '6' },
      body: pieces(bytesOf('ab'), new Uint8Array(0), bytesOf('cde'), bytesOf('f')),
    }));
    await using connection = world.network.connect(server.origin);
    const response = await connection.request({ method: 'GET', path: '/' });
    assert.equal(response.headers['content-length'], '6');
    assert.equal(text(await readAll(response.body)), 'abcdef');
  });

  test(`${name}: the source of an iterable body is closed when the reader leaves`, async () => {
    await using world = await setUp();
    const { promise: closed, resolve: close } = Promise.withResolvers<void>();
    const piece = patternBytes(65_536);
    async function* endless(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) yield piece;
      } finally {
        close();
      }
    }
    await using server = await serve(world, async () => ({
      status: 200,
      headers: { 'content-length': '10000000000' },
      body: endless(),
    }));
    await using connection = world.network.connect(server.origin);
    const response = await connection.request({ method: 'GET', path: '/' });
    for await (const part of response.body) {
      assert.ok(part.length > 0);
      break;
    }
    await closed;
  });

  test(`${name}: a slow reader holds the sender back`, async () => {
    await using world = await setUp();
    let produced = 0;
    const total = 400;
    const piece = patternBytes(250_000);
    async function* source(): AsyncGenerator<Uint8Array> {
      for (; produced < total; produced += 1) yield piece;
    }
    await using server = await serve(world, async () => ({
      status: 200,
      headers: { 'content-length': String(total * 250_000) },
      body: source(),
    }));
    await using connection = world.network.connect(server.origin);
    const response = await connection.request({ method: 'GET', path: '/' });
    let count = 0;
    let aheadMax = 0;
    for await (const part of response.body) {
      count += part.length;
      aheadMax = Math.max(aheadMax, produced * 250_000 - count);
    }
    assert.equal(count, total * 250_000);
    assert.ok(aheadMax < 50_000_000, `the sender ran ${aheadMax} bytes ahead of its reader`);
  });
}

function failureConformance(name: string, setUp: () => Promise<NetworkSetUp>): void {
  test(`${name}: a request to a port nobody serves fails with link-failed`, async () => {
    await using world = await setUp();
    let origin: string;
    {
      await using server = await serve(world, async () => ({ status: 200 }));
      origin = server.origin;
    }
    await using connection = world.network.connect(origin);
    await rejectsWithCode(connection.request({ method: 'GET', path: '/' }), 'link-failed');
  });

  test(`${name}: a body that ends short of its length throws link-failed after the bytes that came`, async () => {
    await using world = await setUp();
    await using server = await serve(world, async () => ({
      status: 200,
      headers: { 'content-length': '10' },
      body: pieces(bytesOf('abcd')),
    }));
    await using connection = world.network.connect(server.origin);
    let seen = '';
    await rejectsWithCode(async () => {
      const response = await connection.request({ method: 'GET', path: '/' });
      for await (const part of response.body) seen += text(part);
    }, 'link-failed');
    assert.ok('abcd'.startsWith(seen));
  });

  test(`${name}: a body whose source throws, or runs over its length, throws link-failed`, async () => {
    await using world = await setUp();
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield bytesOf('ab');
      throw new Error('the source broke');
    }
    const answers: Record<string, () => OutgoingResponse> = {
      '/throws': () => ({ status: 200, headers: { 'content-length': '4' }, body: failing() }),
      '/over': () => ({ status: 200, headers: { 'content-length': '4' }, body: pieces(bytesOf('ab'), bytesOf('cde')) }),
    };
    await using server = await serve(world, async (request) => answers[request.path]?.() ?? { status: 404 });
    await using connection = world.network.connect(server.origin);
    for (const path of Object.keys(answers)) {
      await rejectsWithCode(async () => {
        const response = await connection.request({ method: 'GET', path });
        await readAll(response.body);
      }, 'link-failed');
    }
  });

  test(`${name}: a handler that throws becomes a bare 500, and the server goes on`, async () => {
    await using world = await setUp();
    await using server = await serve(world, async (request) => {
      if (request.path === '/bad') throw new Error('secret detail');
      return { status: 200 };
    });
    await using connection = world.network.connect(server.origin);
    const response = await connection.request({ method: 'GET', path: '/bad' });
    assert.equal(response.status, 500);
    assert.equal((await readAll(response.body)).length, 0);
    assert.equal((await connection.request({ method: 'GET', path: '/good' })).status, 200);
  });

  test(`${name}: an answer that never begins ends with link-timeout`, async () => {
    await using world = await setUp();
    await using server = await serve(world, async (request) => {
      await aborted(request.signal);
      return { status: 200 };
    });
    await using connection = world.network.connect(server.origin);
    await rejectsWithCode(connection.request({ method: 'GET', path: '/', silenceMsMax: 60 }), 'link-timeout');
  });

  test(`${name}: a body that falls silent ends with link-timeout`, async () => {
    await using world = await setUp();
    await using server = await serve(world, async (request) => ({
      status: 200,
      headers: { 'content-length': '10' },
      body: (async function* () {
        yield bytesOf('abcd');
        await aborted(request.signal);
      })(),
    }));
    await using connection = world.network.connect(server.origin);
    const response = await connection.request({ method: 'GET', path: '/', silenceMsMax: 60 });
    assert.equal(response.status, 200);
    await rejectsWithCode(readAll(response.body), 'link-timeout');
  });
}

function abortConformance(name: string, setUp: () => Promise<NetworkSetUp>): void {
  test(`${name}: a request whose signal aborts rejects with the reason, and the server hears of it`, async () => {
    await using world = await setUp();
    const { promise: arrived, resolve: arrive } = Promise.withResolvers<IncomingRequest>();
    await using server = await serve(world, async (request) => {
      arrive(request);
      await aborted(request.signal);
      return { status: 200 };
    });
    await using connection = world.network.connect(server.origin);
    const controller = new AbortController();
    const reason = new Error('changed my mind');
    const request = connection.request({ method: 'GET', path: '/', signal: controller.signal });
    const incoming = await arrived;
    controller.abort(reason);
    await assert.rejects(request, (error) => error === reason);
    await aborted(incoming.signal);
  });

  test(`${name}: a request with a signal aborted before is not sent`, async () => {
    await using world = await setUp();
    let count = 0;
    await using server = await serve(world, async () => {
      count += 1;
      return { status: 200 };
    });
    await using connection = world.network.connect(server.origin);
    const reason = new Error('too late');
    const signal = AbortSignal.abort(reason);
    await assert.rejects(connection.request({ method: 'GET', path: '/', signal }), (error) => error === reason);
    assert.equal((await connection.request({ method: 'GET', path: '/' })).status, 200);
    assert.equal(count, 1);
  });

  test(`${name}: a body whose signal aborts while it is read throws the reason`, async () => {
    await using world = await setUp();
    await using server = await serve(world, async (request) => ({
      status: 200,
      headers: { 'content-length': '10' },
      body: (async function* () {
        yield bytesOf('abcd');
        await aborted(request.signal);
      })(),
    }));
    await using connection = world.network.connect(server.origin);
    const controller = new AbortController();
    const reason = new Error('enough');
    const response = await connection.request({ method: 'GET', path: '/', signal: controller.signal });
    await assert.rejects(
      async () => {
        for await (const part of response.body) if (part.length > 0) controller.abort(reason);
      },
      (error) => error === reason,
    );
  });

  test(`${name}: disposing the server cuts open requests, and aborts their signals`, async () => {
    await using world = await setUp();
    const { promise: arrived, resolve: arrive } = Promise.withResolvers<IncomingRequest>();
    const server = await serve(world, async (request) => {
      arrive(request);
      await aborted(request.signal);
      return { status: 200 };
    });
    await using connection = world.network.connect(server.origin);
    const request = rejectsWithCode(connection.request({ method: 'GET', path: '/' }), 'link-failed');
    const incoming = await arrived;
    await server[Symbol.asyncDispose]();
    await request;
    assert.equal(incoming.signal.aborted, true);
    await rejectsWithCode(connection.request({ method: 'GET', path: '/' }), 'link-failed');
    await server[Symbol.asyncDispose]();
  });

  test(`${name}: disposing the connection cuts its open requests`, async () => {
    await using world = await setUp();
    const { promise: arrived, resolve: arrive } = Promise.withResolvers<IncomingRequest>();
    await using server = await serve(world, async (request) => {
      arrive(request);
      await aborted(request.signal);
      return { status: 200 };
    });
    const connection = world.network.connect(server.origin);
    const request = rejectsWithCode(connection.request({ method: 'GET', path: '/' }), 'link-failed');
    const incoming = await arrived;
    await connection[Symbol.asyncDispose]();
    await request;
    await aborted(incoming.signal);
    await connection[Symbol.asyncDispose]();
  });
}

function countingConformance(name: string, setUp: () => Promise<NetworkSetUp>): void {
  test(`${name}: wireBytes() counts heads and bodies, and is still there after disposal`, async () => {
    await using world = await setUp();
    await using server = await serve(world, async (request) => {
      await readAll(request.body);
      return { status: 200, body: patternBytes(20_000) };
    });
    const connection = world.network.connect(server.origin);
    assert.deepEqual(connection.wireBytes(), { sent: 0, received: 0 });
    await readAll((await connection.request({ method: 'PUT', path: '/', body: patternBytes(10_000) })).body);
    const once = connection.wireBytes();
    // A head is some hundred bytes; more than 2 KiB of it would be waste worth a look.
    assert.ok(once.sent > 10_000 && once.sent < 12_048, `sent ${once.sent}`);
    assert.ok(once.received > 20_000 && once.received < 22_048, `received ${once.received}`);
    await readAll((await connection.request({ method: 'PUT', path: '/', body: patternBytes(10_000) })).body);
    await connection[Symbol.asyncDispose]();
    const twice = connection.wireBytes();
    assert.ok(twice.sent >= once.sent + 10_000 && twice.received >= once.received + 20_000);
  });
}
