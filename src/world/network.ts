/**
 * HTTP, both sides of it: requests to one origin at a time, and serving. Small on purpose, so that a simulated network
 * with cuts, delays and dead peers is a true twin.
 *
 * Guarantees: a response body that ends early (cut connection, wrong length) makes its iterator throw `link-failed`,
 * never end quietly; no redirect is followed; nothing is decompressed; header names are lower case. A request that
 * hears nothing for `silenceMsMax` rejects with `link-timeout`: silence, not total duration, so that thin links finish.
 */

export interface Headers {
  readonly [name: string]: string | undefined;
}

export type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

export interface OutgoingRequest {
  readonly method: Method;
  /** Path and query, already percent-encoded, beginning with `/`. */
  readonly path: string;
  readonly headers?: Headers;
  readonly body?: Uint8Array;
  readonly signal?: AbortSignal;
  /** Overrides how long to wait for the first or next byte of the answer. */
  readonly silenceMsMax?: number;
}

export interface IncomingResponse {
  readonly status: number;
  readonly headers: Headers;
  /** May be iterated once. Leaving the loop early gives the connection up. An unread body must be drained or left. */
  readonly body: AsyncIterable<Uint8Array>;
}

export interface WireBytes {
  readonly sent: number;
  readonly received: number;
}

/** A pool of connections to one origin, used by one transfer, so that its bytes can be counted honestly. */
export interface Connection extends AsyncDisposable {
  request(request: OutgoingRequest): Promise<IncomingResponse>;
  /** Bytes this connection put on and took off its sockets so far: heads and bodies, without TCP/IP's own headers. */
  wireBytes(): WireBytes;
}

export interface IncomingRequest {
  readonly method: string;
  /** Path and query as received. */
  readonly path: string;
  readonly headers: Headers;
  /** May be iterated once; throws `link-failed` when the peer goes away. */
  readonly body: AsyncIterable<Uint8Array>;
  /** Aborts when the peer goes away or the server closes. */
  readonly signal: AbortSignal;
}

export interface OutgoingResponse {
  readonly status: number;
  readonly headers?: Headers;
  /**
   * An iterable body needs `content-length` in `headers`; ending short of it, or running over it, cuts the connection.
   * A piece may be reused by its maker once the next piece is asked for.
   */
  readonly body?: Uint8Array | AsyncIterable<Uint8Array>;
}

/** Must answer every request. What it throws becomes a bare 500 and a log line. */
export type Handler = (request: IncomingRequest) => Promise<OutgoingResponse>;

export interface ServeOptions {
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
  readonly handle: Handler;
  /** Connections beyond it are refused. */
  readonly connectionCountMax: number;
}

export interface Server extends AsyncDisposable {
  /** `http://host:port` with the real port. */
  readonly origin: string;
  /** Disposing stops accepting, aborts open requests and resolves when all sockets are closed. */
}

export interface Network {
  /** `port-in-use` when another process has the port; `access-denied` when the system forbids it. */
  serve(options: ServeOptions): Promise<Server>;
  /** No connection is made until the first request. `origin` is `http://host:port`. */
  connect(origin: string): Connection;
}
