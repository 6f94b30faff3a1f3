/**
 * One request and its answer between two lives, on a connection of its own.
 *
 * Both sides are ends of one connection that may break at any byte, and each side learns of it in its own time, so a
 * handler may go on working for someone who has long asked again. A side whose life is over learns nothing.
 */
import { ReplicationError } from '../../src/errors.ts';
import type { Log } from '../../src/world/log.ts';
import type {
  Handler,
  Headers,
  IncomingRequest,
  IncomingResponse,
  OutgoingRequest,
  OutgoingResponse,
} from '../../src/world/network.ts';
import type { Life } from './life.ts';
import { Flow, type Link } from './link.ts';
import { Pipe } from './pipe.ts';
import type { Seeded } from './seeded.ts';
import type { Timer } from './timeline.ts';

/** Where the connection shall break: this far (0 to 1) into the body; 0 is before the head. */
export interface PlannedCut {
  readonly side: 'request' | 'response';
  readonly fraction: number;
}

export interface Listener {
  readonly life: Life;
  readonly log: Log;
  readonly handle: Handler;
  readonly connectionCountMax: number;
  openCount: number;
}

export interface ExchangeParts {
  readonly client: Life;
  readonly request: OutgoingRequest;
  readonly host: string;
  readonly silenceMsMax: number;
  readonly outward: Link;
  readonly homeward: Link;
  readonly chance: Seeded;
  readonly cut: PlannedCut | undefined;
  readonly wire: { sent: number; received: number };
  /** The listener at the address, looked up when the request arrives. */
  readonly findListener: () => Listener | undefined;
  readonly onDone: () => void;
}

const PIECE_BYTES_MAX = 65_536;
const TINY_PIECE_BYTES_MAX = 16;
const TINY_PIECE_CHANCE = 0.1;
/** How soon a side learns that its connection broke. */
const NOTICE_MS_MAX = 50;
/** The same when the other machine went away without a word. */
const LATE_NOTICE_MS_MAX = 5_000;
const LATE_NOTICE_CHANCE = 0.2;

export class Exchange {
  readonly response: Promise<IncomingResponse>;
  readonly #parts: ExchangeParts;
  readonly #toServer: Flow;
  readonly #toClient: Flow;
  readonly #answer = Promise.withResolvers<IncomingResponse>();
  readonly #controller = new AbortController();
  readonly #responseBody: Pipe;
  #requestBody: Pipe | undefined;
  #listener: Listener | undefined;
  #source: AsyncIterator<Uint8Array> | undefined;
  #silence: Timer | undefined;
  #lastHeardMs: number;
  #isAnswered = false;
  #isClientDone = false;
  #isServerDone = false;

  constructor(parts: ExchangeParts) {
    this.#parts = parts;
    const simulation = parts.client.simulation;
    const onCut = (): void => this.breakOff();
    this.#toServer = new Flow({ simulation, link: parts.outward, onCut });
    this.#toClient = new Flow({ simulation, link: parts.homeward, onCut });
    this.#responseBody = new Pipe(parts.client, () => this.#leave(linkFailed('the reader left')));
    this.#lastHeardMs = simulation.nowMs;
    this.response = this.#answer.promise;
    parts.request.signal?.addEventListener('abort', this.#abort, { once: true });
    this.#watchSilence(parts.silenceMsMax);
    void this.#sendRequest();
  }

  get client(): Life {
    return this.#parts.client;
  }

  get server(): Life | undefined {
    return this.#listener?.life;
  }

  get listener(): Listener | undefined {
    return this.#listener;
  }

  /** The connection breaks now; both sides learn of it soon, or late. */
  breakOff(): void {
    this.#break();
    const isLate = this.#parts.chance.chance(LATE_NOTICE_CHANCE);
    this.#later(NOTICE_MS_MAX, () => this.failClient(linkFailed('the connection was cut')));
    this.#later(isLate ? LATE_NOTICE_MS_MAX : NOTICE_MS_MAX, () => this.failServer());
  }

  /** The client gives up: at once for itself, a little later for the server. */
  giveUp(error: unknown): void {
    this.#leave(error);
  }

  /** One of the two lives is over: it gets nothing any more, the other one learns of it. */
  lifeEnded(life: Life, isSudden: boolean): void {
    this.#break();
    const noticeMs = isSudden ? LATE_NOTICE_MS_MAX : NOTICE_MS_MAX;
    if (life === this.client) this.#endClient();
    else this.#later(noticeMs, () => this.failClient(linkFailed('the peer went away')));
    if (life === this.server) this.#endServer();
    else this.#later(noticeMs, () => this.failServer());
  }

  /** The server closes. */
  closeServer(): void {
    this.#break();
    this.failServer();
    this.#later(NOTICE_MS_MAX, () => this.failClient(linkFailed('the server closed')));
  }

  failClient(error: unknown, isDropping = false): void {
    if (this.#isClientDone) return;
    this.#endClient();
    if (this.client.isOver) return;
    if (this.#isAnswered) this.#responseBody.fail(error, isDropping);
    else this.#answer.reject(error);
  }

  failServer(): void {
    if (this.#isServerDone) return;
    this.#endServer();
    if (this.#listener === undefined || this.#listener.life.isOver) return;
    const error = linkFailed('the peer went away');
    this.#controller.abort(error);
    this.#requestBody?.fail(error, true);
    // A generator that waits for something real runs its `finally` when that ends, as under a real server.
    void this.#source?.return?.().catch(() => {});
  }

  // Client side.

  readonly #abort = (): void => {
    if (!this.client.isOver) this.#leave(this.#parts.request.signal?.reason);
  };

  #leave(error: unknown): void {
    if (this.#isClientDone) return;
    this.failClient(error, true);
    this.#break();
    const isSilent = this.#parts.outward.conditions.state === 'silent';
    this.#later(isSilent ? LATE_NOTICE_MS_MAX : NOTICE_MS_MAX, () => this.failServer());
  }

  async #sendRequest(): Promise<void> {
    const { request, cut, wire, outward } = this.#parts;
    const body = request.body ?? new Uint8Array(0);
    const headers = this.#requestHeaders();
    const headBytes = headSize(`${request.method} ${request.path} HTTP/1.1`, headers);
    const cutAtBytes = cut?.side === 'request' ? Math.floor(cut.fraction * body.length) : undefined;
    const isUnderWay = await this.#toServer.carry(headBytes, () => {
      if (cut?.side === 'request' && (cut.fraction === 0 || body.length === 0)) return this.breakOff();
      this.#heard();
      this.#arrive(headers);
    });
    if (!isUnderWay) return;
    wire.sent += headBytes;
    let arrivedBytes = 0;
    for (let startByte = 0; startByte < body.length; ) {
      // The reading end is there once the head has arrived; until then only the body's own size bounds what flies.
      const pipe = this.#requestBody;
      await pipe?.room();
      const piece = this.#piece(body.subarray(startByte), outward);
      startByte += piece.length;
      pipe?.expect(piece.length);
      const isGoing = await this.#toServer.carry(piece.length, () => {
        this.#heard();
        pipe?.expect(-piece.length);
        arrivedBytes += piece.length;
        if (cutAtBytes !== undefined && arrivedBytes > cutAtBytes) return this.breakOff();
        this.server?.event('received', `${piece.length} bytes`, piece);
        this.#requestBody?.push(piece);
        if (arrivedBytes === body.length) this.#requestBody?.end();
      });
      if (!isGoing) return;
      wire.sent += piece.length;
    }
  }

  #requestHeaders(): Headers {
    const { request, host } = this.#parts;
    const mayHaveBody = request.method !== 'GET' && request.method !== 'HEAD';
    const length = request.body?.length ?? (mayHaveBody ? 0 : undefined);
    const own = length === undefined ? {} : { 'content-length': String(length) };
    return { host, connection: 'keep-alive', ...own, ...lowerCase(request.headers) };
  }

  #watchSilence(silenceMsMax: number): void {
    const simulation = this.client.simulation;
    const check = (): void => {
      const waitingSinceMs = this.#isAnswered ? this.#responseBody.waitingSinceMs : 0;
      const quietMs = simulation.nowMs - Math.max(this.#lastHeardMs, waitingSinceMs ?? simulation.nowMs);
      if (quietMs < silenceMsMax) {
        // Not below 1 ms: a rest too small to move the clock would be waited for without end.
        this.#silence = simulation.schedule(Math.max(1, silenceMsMax - quietMs), check);
        return;
      }
      this.#leave(new ReplicationError('link-timeout', `Nothing heard for ${silenceMsMax} ms`));
    };
    this.#silence = simulation.schedule(silenceMsMax, check);
  }

  /** Bytes that arrive at the server count as heard, too: their acknowledgement comes back below HTTP. */
  #heard(): void {
    this.#lastHeardMs = this.client.simulation.nowMs;
  }

  #endClient(): void {
    if (this.#isClientDone) return;
    this.#isClientDone = true;
    this.#silence?.cancel();
    this.#parts.request.signal?.removeEventListener('abort', this.#abort);
    if (this.#isServerDone) this.#parts.onDone();
  }

  // Server side.

  #arrive(headers: Headers): void {
    const listener = this.#parts.findListener();
    const isFull = listener !== undefined && listener.openCount >= listener.connectionCountMax;
    if (listener === undefined || isFull) {
      this.#break();
      this.#later(NOTICE_MS_MAX, () => this.failClient(linkFailed('the connection was refused')));
      this.#endServer();
      return;
    }
    listener.openCount++;
    this.#listener = listener;
    const { request } = this.#parts;
    // A handler that leaves a request body early gives up that body only; the answer still goes out.
    const body = new Pipe(listener.life, () => body.fail(linkFailed('the body was left'), true));
    this.#requestBody = body;
    if ((request.body?.length ?? 0) === 0) body.end();
    const { method, path } = request;
    const incoming: IncomingRequest = { method, path, headers, body, signal: this.#controller.signal };
    listener.life.event('request', `${method} ${path} from ${this.client.host.name}`);
    void this.#handle(listener, incoming);
  }

  async #handle(listener: Listener, request: IncomingRequest): Promise<void> {
    let response: OutgoingResponse;
    try {
      response = await listener.handle(request);
      checkResponse(response);
    } catch (error) {
      if (listener.life.isOver) return;
      listener.log('error', 'request handler failed', { path: request.path, message: String(error) });
      response = { status: 500 };
    }
    if (listener.life.isOver) return;
    listener.life.event('response', `${response.status} to ${request.method} ${request.path}`);
    if (this.#isServerDone) {
      if (isIterable(response.body))
        void response.body[Symbol.asyncIterator]()
          .return?.()
          .catch(() => {});
      return;
    }
    const isSent = await this.#sendResponse(response, request.method);
    if (isSent) {
      this.#endServer();
      // Whoever answers before reading all of the question gets no more of it.
      this.#requestBody?.fail(linkFailed('the answer was sent'));
    } else if (!this.#isServerDone) {
      this.breakOff();
    }
  }

  /** Resolves with true once all of it has left, with false when it cannot be completed. */
  async #sendResponse(response: OutgoingResponse, method: string): Promise<boolean> {
    const { cut, wire } = this.#parts;
    const { status, body } = response;
    const headers = { ...lengthOf(response, method), ...lowerCase(response.headers) };
    const headBytes = headSize(`HTTP/1.1 ${status} Status`, headers);
    const isBodiless = method === 'HEAD' || status === 204 || status === 304;
    const bodyBytes = isBodiless ? 0 : Number(headers['content-length'] ?? 0);
    const cutAtBytes = cut?.side === 'response' ? Math.floor(cut.fraction * bodyBytes) : undefined;
    if (cut?.side === 'response' && (cut.fraction === 0 || bodyBytes === 0)) return false;
    let arrivedBytes = 0;
    const finish = (): void => {
      if (arrivedBytes < bodyBytes) return;
      this.#responseBody.end();
      this.#endClient();
      this.#toServer.break();
    };
    const isUnderWay = await this.#toClient.carry(headBytes, () => {
      wire.received += headBytes;
      this.#heard();
      this.#deliver(status, headers);
      finish();
    });
    if (!isUnderWay || bodyBytes === 0) return isUnderWay;
    return this.#sendBody(body, bodyBytes, (piece) => {
      wire.received += piece.length;
      this.#responseBody.expect(-piece.length);
      this.#heard();
      arrivedBytes += piece.length;
      if (cutAtBytes !== undefined && arrivedBytes > cutAtBytes) return this.breakOff();
      this.client.event('received', `${piece.length} bytes`, piece);
      this.#responseBody.push(piece);
      finish();
    });
  }

  #deliver(status: number, headers: Headers): void {
    if (this.#isClientDone || this.client.isOver) return;
    this.#isAnswered = true;
    this.client.event('answered', `${status} to ${this.#parts.request.method} ${this.#parts.request.path}`);
    this.#answer.resolve({ status, headers, body: this.#responseBody });
  }

  async #sendBody(
    body: OutgoingResponse['body'],
    bodyBytes: number,
    arrive: (piece: Uint8Array) => void,
  ): Promise<boolean> {
    const source = isIterable(body) ? body[Symbol.asyncIterator]() : once(body ?? new Uint8Array(0));
    this.#source = source;
    let leftBytes = bodyBytes;
    try {
      for (let step = await source.next(); step.done !== true; step = await source.next()) {
        if (this.#isServerDone) return false;
        // Too many bytes break the connection like too few: the peer must not take them for the next answer.
        if (step.value.length > leftBytes) break;
        leftBytes -= step.value.length;
        for (let rest = step.value; rest.length > 0; ) {
          await this.#responseBody.room();
          const piece = this.#piece(rest, this.#parts.homeward);
          rest = rest.subarray(piece.length);
          this.#responseBody.expect(piece.length);
          if (!(await this.#toClient.carry(piece.length, () => arrive(piece)))) return false;
        }
      }
    } catch (error) {
      if (!this.#isServerDone) this.#listener?.log('error', 'response body failed', { message: String(error) });
      return false;
    }
    if (leftBytes > 0) void source.return?.().catch(() => {});
    return leftBytes === 0;
  }

  #endServer(): void {
    if (this.#isServerDone) return;
    this.#isServerDone = true;
    if (this.#listener !== undefined) this.#listener.openCount--;
    if (this.#isClientDone) this.#parts.onDone();
  }

  // Both.

  /** A copy of the first bytes of `rest`, as long as chance has it, damaged if the link damages. */
  #piece(rest: Uint8Array, link: Link): Uint8Array {
    const { chance } = this.#parts;
    const bytesMax = chance.chance(TINY_PIECE_CHANCE) ? TINY_PIECE_BYTES_MAX : PIECE_BYTES_MAX;
    const piece = rest.slice(0, chance.integer(1, bytesMax + 1));
    if (link.chance.chance(link.conditions.corruptChance)) {
      const index = chance.integer(0, piece.length);
      piece[index] = (piece[index] ?? 0) ^ (1 << chance.integer(0, 8));
    }
    return piece;
  }

  #break(): void {
    this.#toServer.break();
    this.#toClient.break();
  }

  #later(delayMsMax: number, act: () => void): void {
    this.client.simulation.schedule(this.#parts.chance.between(0, delayMsMax), act);
  }
}

function linkFailed(state: string): ReplicationError {
  return new ReplicationError('link-failed', `The link failed: ${state}`);
}

function isIterable(body: OutgoingResponse['body']): body is AsyncIterable<Uint8Array> {
  return body !== undefined && !(body instanceof Uint8Array);
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

function lowerCase(headers: Headers = {}): Headers {
  const entries = Object.entries(headers).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries.map(([name, value]) => [name.toLowerCase(), value]));
}

/** The length a server puts in front of a body it holds. */
function lengthOf({ status, body }: OutgoingResponse, method: string): Headers {
  if (isIterable(body) || status === 204 || status === 304) return {};
  if (body === undefined) return method === 'HEAD' ? {} : { 'content-length': '0' };
  return { 'content-length': String(body.length) };
}

function checkResponse({ status, headers, body }: OutgoingResponse): void {
  const length = lowerCase(headers)['content-length'];
  if (isIterable(body) && (length === undefined || !/^\d+$/.test(length))) {
    throw new TypeError(`Cannot answer ${status}: an iterable body needs its content-length, got ${length}`);
  }
  if (body instanceof Uint8Array && length !== undefined && Number(length) !== body.length) {
    throw new TypeError(`Cannot answer ${status}: content-length is ${length}, the body has ${body.length} bytes`);
  }
  checkHeaders(headers);
}

/** Refuses what HTTP cannot carry. */
export function checkHeaders(headers: Headers = {}): void {
  for (const [name, value] of Object.entries(headers)) {
    // Visible ASCII, space, tab and the upper half of Latin-1: what Node accepts in a field.
    const isGood = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name) && /^[\t\x20-\x7e\x80-\xff]*$/.test(value ?? '');
    if (!isGood) throw new TypeError(`Cannot send the header ${JSON.stringify(name)}: ${JSON.stringify(value)}`);
  }
}

function headSize(firstLine: string, headers: Headers): number {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  return [firstLine, ...lines, '', ''].join('\r\n').length;
}
