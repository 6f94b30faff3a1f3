/**
 * HTTP served by `node:http`.
 *
 * Guarantees beyond those of `Network`: a response body that breaks off is never mistaken for a whole one, because its
 * socket is destroyed; a piece of an iterable body may be reused by its maker once the next piece is asked for; what a
 * handler throws reaches the log and not the peer.
 *
 * Of 29 raw deviations from RFC 9112, bare node:http accepts six; the four that matter (two Host fields, a transfer
 * coding on HTTP/1.0, version 2.0 on the wire, a target in absolute form) are refused here (reliability.md, finding 9).
 */
import { createServer, type Server as HttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { ReplicationError } from '../errors.ts';
import { limits } from '../model/limits.ts';
import type { Log } from './log.ts';
import type { Headers, IncomingRequest, OutgoingResponse, ServeOptions, Server } from './network.ts';

/** How often Node looks for heads that take too long. */
const HEAD_CHECK_MS = 5_000;

export async function serveHttp(options: ServeOptions, log: Log | undefined): Promise<Server> {
  const open = new Set<AbortController>();
  const refused = new WeakSet<Socket>();
  const server = createServer(
    {
      maxHeaderSize: limits.requestHeadBytesMax,
      headersTimeout: limits.requestHeadMsMax,
      keepAliveTimeout: limits.silenceMsMax,
      // Silence counts, not duration: a body over a thin link may take hours. `server.timeout` below watches it.
      requestTimeout: 0,
      connectionsCheckingInterval: HEAD_CHECK_MS,
      noDelay: true,
      // Node would answer and then serve the next request of the same packet; `isDeviant` looks instead.
      requireHostHeader: false,
      insecureHTTPParser: false,
    },
    (incoming, outgoing) => {
      // Bytes behind a refused request may be its body in another reader's eyes: nothing of them is served.
      if (refused.has(incoming.socket)) return;
      if (isDeviant(incoming)) {
        refused.add(incoming.socket);
        return refuse(outgoing);
      }
      const controller = new AbortController();
      open.add(controller);
      outgoing.once('close', () => {
        open.delete(controller);
        if (!outgoing.writableFinished) controller.abort(peerLeft());
      });
      void answer(incoming, outgoing, controller.signal, { handle: options.handle, log });
    },
  );
  server.maxConnections = options.connectionCountMax;
  server.timeout = limits.silenceMsMax;
  const origin = await listen(server, options);
  let closing: Promise<void> | undefined;
  return {
    origin,
    [Symbol.asyncDispose]() {
      closing ??= close(server, open);
      return closing;
    },
  };
}

function listen(server: HttpServer, { host, port }: ServeOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(listenFailure(error, host, port)));
    server.listen({ host, port, exclusive: true }, () => {
      server.removeAllListeners('error');
      // Later errors concern one accept (such as EMFILE); the connection is lost, the server goes on.
      server.on('error', () => {});
      const name = host.includes(':') ? `[${host}]` : host;
      resolve(`http://${name}:${(server.address() as AddressInfo).port}`);
    });
  });
}

function listenFailure(error: NodeJS.ErrnoException, host: string, port: number): ReplicationError {
  const place = `${host}:${port}`;
  switch (error.code) {
    case 'EADDRINUSE': {
      const message = `Cannot serve on ${place}: the port is taken, expected it free`;
      return new ReplicationError('port-in-use', message, { cause: error, hint: 'choose another port' });
    }
    case 'EACCES':
    case 'EPERM': {
      const message = `Cannot serve on ${place}: the system forbids it, expected permission`;
      return new ReplicationError('access-denied', message, { cause: error, hint: 'choose a port above 1023' });
    }
    default: {
      const message = `Cannot serve on ${place}: the system answered ${error.code}, expected an address of this machine`;
      return new ReplicationError('config-invalid', message, { cause: error });
    }
  }
}

async function close(server: HttpServer, open: ReadonlySet<AbortController>): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  for (const controller of open) controller.abort(peerLeft());
  server.closeAllConnections();
  await closed;
}

function peerLeft(): ReplicationError {
  return new ReplicationError('link-failed', 'Cannot finish a request: the peer went away, expected it to stay');
}

function isDeviant(incoming: IncomingMessage): boolean {
  const hostCount = incoming.rawHeaders.filter((text, index) => index % 2 === 0 && /^host$/i.test(text)).length;
  if (hostCount > 1 || incoming.url?.startsWith('/') !== true) return true;
  if (incoming.httpVersion === '1.0') return incoming.headers['transfer-encoding'] !== undefined;
  return incoming.httpVersion !== '1.1' || hostCount !== 1;
}

/** 400, and nothing more from this connection. */
function refuse(outgoing: ServerResponse): void {
  outgoing.shouldKeepAlive = false;
  outgoing.writeHead(400, { 'content-length': '0', connection: 'close' });
  outgoing.end(() => outgoing.socket?.destroy());
}

interface Answering {
  readonly handle: ServeOptions['handle'];
  readonly log: Log | undefined;
}

/** Never rejects. */
async function answer(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  signal: AbortSignal,
  { handle, log }: Answering,
): Promise<void> {
  const method = incoming.method ?? '';
  const path = incoming.url ?? '';
  const request: IncomingRequest = { method, path, headers: plainHeaders(incoming), body: bodyOf(incoming), signal };
  try {
    const response = await handle(request);
    if (outgoing.destroyed) return;
    await send(method, incoming, outgoing, response);
  } catch (error) {
    if (!signal.aborted) log?.('error', 'request failed', { method, path, error: String(error) });
    if (outgoing.headersSent || outgoing.destroyed) outgoing.destroy();
    else outgoing.writeHead(500, { 'content-length': '0' }).end();
  }
}

async function send(
  method: string,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  response: OutgoingResponse,
): Promise<void> {
  const { status, body } = response;
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(response.headers ?? {})) {
    if (value !== undefined) headers[name.toLowerCase()] = value;
  }
  const isBodiless = method === 'HEAD' || status === 204 || status === 304;
  if (body instanceof Uint8Array) headers['content-length'] = String(body.length);
  else if (body === undefined && !isBodiless) headers['content-length'] ??= '0';
  if (hasMuchUnread(incoming)) giveUpAfter(outgoing);
  if (isBodiless) {
    outgoing.writeHead(status, headers).end();
  } else if (body === undefined || body instanceof Uint8Array) {
    const bytes = body ?? new Uint8Array(0);
    assertLength(headers['content-length'], bytes.length);
    outgoing.writeHead(status, headers).end(bytes);
  } else {
    const declared = Number(headers['content-length']);
    if (!Number.isSafeInteger(declared)) throw new TypeError('an iterable body needs a content-length');
    outgoing.writeHead(status, headers);
    await stream(outgoing, body, declared);
  }
}

function assertLength(declared: string | undefined, bytes: number): void {
  if (declared !== String(bytes)) throw new TypeError(`a body of ${bytes} bytes was declared as ${declared}`);
}

/** Writes piece by piece, each wholly in the kernel's hands before the next is asked for. Throws when it must break off. */
async function stream(outgoing: ServerResponse, body: AsyncIterable<Uint8Array>, declared: number): Promise<void> {
  const gone = new Promise<void>((resolve) => outgoing.once('close', resolve));
  let count = 0;
  for await (const piece of body) {
    count += piece.length;
    if (count > declared) break;
    await Promise.race([gone, new Promise((resolve) => outgoing.write(piece, resolve))]);
    if (outgoing.destroyed) return;
  }
  if (count !== declared) throw new RangeError(`a body declared as ${declared} bytes came to ${count}`);
  outgoing.end();
}

/** Node reads and drops what a handler left unread, to keep the connection; not when that is more than it is worth. */
function hasMuchUnread(incoming: IncomingMessage): boolean {
  if (incoming.complete) return false;
  if (incoming.headers['transfer-encoding'] !== undefined) return true;
  return Number(incoming.headers['content-length'] ?? 0) > limits.requestBodyBytesMax;
}

function giveUpAfter(outgoing: ServerResponse): void {
  outgoing.shouldKeepAlive = false;
  outgoing.once('finish', () => outgoing.socket?.destroySoon());
}

/** The request's body; a peer that leaves makes it throw `link-failed`. */
async function* bodyOf(incoming: IncomingMessage): AsyncGenerator<Uint8Array> {
  try {
    for await (const part of incoming as AsyncIterable<Uint8Array>) yield part;
  } catch (cause) {
    const message = 'Cannot read the body of a request: the peer went away, expected all of it';
    throw new ReplicationError('link-failed', message, { cause });
  }
}

function plainHeaders(incoming: IncomingMessage): Headers {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(incoming.headers)) {
    if (value !== undefined) headers[name] = Array.isArray(value) ? value.join(', ') : value;
  }
  return headers;
}
