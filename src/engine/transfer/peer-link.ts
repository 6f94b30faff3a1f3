/**
 * A conversation with one peer: proves who we are, reads bounded answers, turns what goes wrong into our errors. One
 * link serves one transfer, so that its wire bytes are that transfer's.
 */
import type { z } from 'zod';
import { isErrorCode, ReplicationError } from '../../errors.ts';
import { limits } from '../../model/limits.ts';
import { errorMessage, parseAnswer } from '../../wire/api.ts';
import { contentTypes } from '../../wire/http.ts';
import type { Connection, Headers, IncomingResponse, Method } from '../../world/network.ts';
import type { World } from '../../world/world.ts';

export interface PeerAddress {
  /** For messages. */
  readonly name: string;
  /** `http://host:port`. */
  readonly url: string;
  readonly token: string;
}

export interface PeerRequest {
  readonly method: Method;
  readonly path: string;
  readonly headers?: Headers;
  readonly body?: Uint8Array;
  readonly signal: AbortSignal;
  /** Statuses the caller understands beside 2xx; any other becomes an error. */
  readonly expects?: readonly number[];
}

export class PeerLink implements AsyncDisposable {
  readonly name: string;
  readonly #token: string;
  readonly #connection: Connection;

  constructor(world: World, address: PeerAddress) {
    this.name = address.name;
    this.#token = address.token;
    this.#connection = world.network.connect(address.url);
  }

  /** Heads and bodies, both directions. */
  get wireBytes(): number {
    const { sent, received } = this.#connection.wireBytes();
    return sent + received;
  }

  async request(request: PeerRequest): Promise<IncomingResponse> {
    const { method, path, body, signal } = request;
    const response = await this.#connection.request({
      method,
      path,
      headers: { authorization: `Bearer ${this.#token}`, ...request.headers },
      ...(body === undefined ? {} : { body }),
      signal,
    });
    const isUnderstood =
      (response.status >= 200 && response.status < 300) || request.expects?.includes(response.status) === true;
    if (!isUnderstood) throw await this.#refusal(request, response);
    return response;
  }

  /** A JSON answer of at most `answerBytesMax`. */
  async json<Schema extends z.ZodType>(schema: Schema, request: PeerRequest): Promise<z.infer<Schema>> {
    const response = await this.request(request);
    return parseAnswer(schema, parseJson(await this.bytes(response), this.name), this.name);
  }

  async sendJson<Schema extends z.ZodType>(
    schema: Schema,
    request: PeerRequest,
    body: unknown,
  ): Promise<z.infer<Schema>> {
    const headers = { 'content-type': contentTypes.json };
    return await this.json(schema, { ...request, headers, body: new Uint8Array(Buffer.from(JSON.stringify(body))) });
  }

  /** The whole body, refused beyond `bytesMax`. */
  async bytes(response: IncomingResponse, bytesMax: number = limits.answerBytesMax): Promise<Uint8Array> {
    const blocks: Uint8Array[] = [];
    let bytes = 0;
    for await (const block of response.body) {
      bytes += block.byteLength;
      if (bytes > bytesMax)
        throw new ReplicationError(
          'peer-answer-invalid',
          `Cannot read the answer of ${this.name}: it is longer than ${bytesMax} bytes`,
        );
      blocks.push(block);
    }
    return new Uint8Array(Buffer.concat(blocks));
  }

  async #refusal(request: PeerRequest, response: IncomingResponse): Promise<ReplicationError> {
    const body = await this.bytes(response).catch(() => new Uint8Array(0));
    const said = errorMessage.safeParse(tryParseJson(body));
    const detail = said.success
      ? `${said.data.error.code}: ${said.data.error.message}`
      : `HTTP status ${response.status}`;
    const message = `${this.name} refused ${request.method} ${request.path.split('?')[0]}: ${detail}`;
    if (response.status === 401 || response.status === 403) {
      return new ReplicationError('peer-unauthorized', message, {
        hint: `give the token of ${this.name} again with "address set" or "dp add"`,
      });
    }
    if (response.status === 429 || response.status === 503) return new ReplicationError('peer-busy', message);
    const hint = said.success && said.data.error.hint !== undefined ? { hint: said.data.error.hint } : {};
    const code = said.success && isErrorCode(said.data.error.code) ? said.data.error.code : 'peer-refused';
    // What a peer cannot do now it may do later; only to the person at the command line its own code matters.
    return new ReplicationError(code, message, { retry: 'later', ...hint });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection[Symbol.asyncDispose]();
  }
}

function tryParseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    return undefined;
  }
}

/** Throws `peer-answer-invalid` unless the bytes are JSON. */
export function parseJson(bytes: Uint8Array, from: string): unknown {
  const value = tryParseJson(bytes);
  if (value === undefined)
    throw new ReplicationError('peer-answer-invalid', `Cannot read the answer of ${from}: it is not JSON`);
  return value;
}
