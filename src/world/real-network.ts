/**
 * HTTP over TCP: the client over undici; the server is in `real-server.ts`.
 *
 * Guarantees beyond those of `Network`: silence is measured here and not by undici, whose timer for the answer's head
 * runs on while a large body still moves up a thin link. A body goes up in slices, each slice the socket takes counts
 * as a sound; what remains invisible is the kernel's own send buffer, so an upload piece must be able to leave that
 * within `silenceMsMax`. A body without a length that could be checked is refused.
 */
import { Readable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { buildConnector, type Dispatcher, Pool } from 'undici';
import { ReplicationError } from '../errors.ts';
import { limits } from '../model/limits.ts';
import type { Log } from './log.ts';
import type { Connection, Headers, IncomingResponse, Network, OutgoingRequest, WireBytes } from './network.ts';
import { serveHttp } from './real-server.ts';
import { WireCount } from './wire-count.ts';

/** Of a request body handed to the socket at once. */
const SLICE_BYTES = 64 * 1024;

export interface RealNetworkOptions {
  /** Hears of handlers that threw. */
  readonly log?: Log;
}

export function realNetwork(options: RealNetworkOptions = {}): Network {
  return {
    serve: (serveOptions) => serveHttp(serveOptions, options.log),
    connect: (origin) => new RealConnection(origin),
  };
}

class RealConnection implements Connection {
  readonly #origin: string;
  readonly #pool: Pool;
  readonly #count = new WireCount();
  #closing: Promise<void> | undefined;

  constructor(origin: string) {
    const url = new URL(origin);
    if (url.protocol !== 'http:' || url.pathname !== '/') throw new TypeError(`not an origin of http: ${origin}`);
    this.#origin = url.origin;
    // No timeouts of undici's own: see `Silence`.
    const connect = buildConnector({ timeout: 0, allowH2: false });
    this.#pool = new Pool(url.origin, {
      connect: (socketOptions, callback) => {
        connect(socketOptions, (...result) => {
          if (result[0] === null) this.#count.add(result[1]);
          callback(...result);
        });
      },
      pipelining: 1,
      allowH2: false,
      headersTimeout: 0,
      bodyTimeout: 0,
      maxHeaderSize: limits.requestHeadBytesMax,
    });
  }

  async request(request: OutgoingRequest): Promise<IncomingResponse> {
    request.signal?.throwIfAborted();
    const exchange = new Exchange(request, this.#origin);
    try {
      // Undici frees a connection some microtasks after its answer ended; without this turn, the second of two requests
      // in a row would open a connection of its own.
      if (this.#pool.stats.connected > 0) await nextTurn();
      const response = await this.#pool.request({
        method: request.method,
        path: request.path,
        headers: requestHeaders(request),
        body: exchange.requestBody(),
        signal: exchange.signal,
      });
      return exchange.answer(response);
    } catch (error) {
      throw exchange.end(error);
    }
  }

  wireBytes(): WireBytes {
    return this.#count.total();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#pool.destroy().then(() => this.#count.settle());
    return this.#closing;
  }
}

/** One request and its answer: what may cut it, and how a cut is named. */
class Exchange {
  readonly #request: OutgoingRequest;
  readonly #what: string;
  readonly #controller = new AbortController();
  readonly #silence: Silence;
  readonly #forward = (): void => this.#controller.abort(this.#request.signal?.reason);

  constructor(request: OutgoingRequest, origin: string) {
    this.#request = request;
    this.#what = `${request.method} ${origin}${request.path}`;
    this.#silence = new Silence(request.silenceMsMax ?? limits.silenceMsMax, () => this.#controller.abort());
    request.signal?.addEventListener('abort', this.#forward, { once: true });
    this.#silence.begin();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  requestBody(): Uint8Array | Readable | null {
    const { body } = this.#request;
    if (body === undefined) return null;
    if (body.length <= SLICE_BYTES) return body;
    return Readable.from(this.#slices(body), { objectMode: false, highWaterMark: SLICE_BYTES });
  }

  /** The socket asks for the next slice when it has room again: that is the sound of an upload. */
  async *#slices(body: Uint8Array): AsyncGenerator<Uint8Array> {
    for (let start = 0; start < body.length; start += SLICE_BYTES) {
      this.#silence.begin();
      yield body.subarray(start, start + SLICE_BYTES);
    }
    this.#silence.begin();
  }

  answer(response: Dispatcher.ResponseData): IncomingResponse {
    this.#silence.end();
    const headers = plainHeaders(response.headers);
    const bytes = bodyLength(this.#request.method, response.statusCode, headers);
    return { status: response.statusCode, headers, body: this.#body(response.body, bytes) };
  }

  async *#body(parts: AsyncIterable<Uint8Array>, bytes: number | 'chunked' | 'unknown'): AsyncGenerator<Uint8Array> {
    let count = 0;
    try {
      this.#silence.begin();
      for await (const part of parts) {
        // A reader that takes its time is not silence on the link.
        this.#silence.end();
        count += part.length;
        yield part;
        this.#silence.begin();
      }
      if (bytes === 'unknown') throw this.#failure('ended without a declared length');
      if (bytes !== 'chunked' && bytes !== count) throw this.#failure(`ended after ${count} of ${bytes} bytes`);
    } catch (error) {
      throw this.end(error);
    } finally {
      this.#settle();
    }
  }

  /** Ends the exchange and names why: the caller's own reason, silence, or the link. */
  end(error: unknown): unknown {
    this.#settle();
    const { signal } = this.#request;
    if (signal?.aborted === true) return signal.reason;
    if (this.#silence.isTooLong) {
      const message = `Cannot finish ${this.#what}: nothing heard for ${this.#silence.msMax} ms, expected an answer`;
      return new ReplicationError('link-timeout', message, { cause: error });
    }
    if (error instanceof ReplicationError || isCallersMistake(error)) return error;
    return this.#failure(describe(error), error);
  }

  #failure(state: string, cause?: unknown): ReplicationError {
    const code = errorCodeOf(cause) === 'ETIMEDOUT' ? 'link-timeout' : 'link-failed';
    const message = `Cannot finish ${this.#what}: ${state}, expected a complete answer`;
    return new ReplicationError(code, message, { cause });
  }

  #settle(): void {
    this.#silence.close();
    this.#request.signal?.removeEventListener('abort', this.#forward);
  }
}

/** Calls back once when nothing was heard for `msMax` between a `begin` and the next `begin` or `end`. */
class Silence {
  readonly msMax: number;
  readonly #onTooLong: () => void;
  #timer: NodeJS.Timeout | undefined;
  #isOver = false;
  isTooLong = false;

  constructor(msMax: number, onTooLong: () => void) {
    this.msMax = msMax;
    this.#onTooLong = onTooLong;
  }

  begin(): void {
    if (this.#isOver) return;
    if (this.#timer !== undefined) this.#timer.refresh();
    else this.#timer = setTimeout(() => this.#declare(), this.msMax);
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Ends it for good: a late `begin` of an upload that outlived its answer does nothing. */
  close(): void {
    this.#isOver = true;
    this.end();
  }

  #declare(): void {
    this.isTooLong = true;
    this.#onTooLong();
  }
}

function requestHeaders(request: OutgoingRequest): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(request.headers ?? {})) {
    if (value !== undefined) headers[name.toLowerCase()] = value;
  }
  // Undici knows the length of bytes but not of our slices.
  if (request.body !== undefined) headers['content-length'] = String(request.body.length);
  return headers;
}

function plainHeaders(received: Dispatcher.ResponseData['headers']): Headers {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(received)) {
    if (value !== undefined) headers[name.toLowerCase()] = Array.isArray(value) ? value.join(', ') : value;
  }
  return headers;
}

/** RFC 9112 §6.3. `unknown`: the body ends with the connection, and nobody could tell a cut from an end. */
function bodyLength(method: string, status: number, headers: Headers): number | 'chunked' | 'unknown' {
  if (method === 'HEAD' || status === 204 || status === 304) return 0;
  if (headers['transfer-encoding'] !== undefined) return 'chunked';
  const declared = headers['content-length'];
  return declared === undefined ? 'unknown' : Number(declared);
}

/** Undici's word for a path or header that no request may carry. */
function isCallersMistake(error: unknown): boolean {
  return errorCodeOf(error) === 'UND_ERR_INVALID_ARG' || error instanceof TypeError;
}

function errorCodeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

function describe(error: unknown): string {
  const message = error instanceof Error && error.message !== '' ? error.message : 'the link broke';
  const code = errorCodeOf(error);
  return code === undefined || message.includes(code) ? message : `${message} (${code})`;
}
