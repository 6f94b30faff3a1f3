/**
 * Routes requests to the roles that answer them, after deciding who asks. Our own sixty lines and not a web framework:
 * it runs unchanged on the simulated network, and the body stays a stream under our bounds.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { type ErrorCode, isErrorCode, ReplicationError } from '../../errors.ts';
import { limits } from '../../model/limits.ts';
import { contentTypes } from '../../wire/http.ts';
import type { Log } from '../../world/log.ts';
import type { Handler, IncomingRequest, OutgoingResponse } from '../../world/network.ts';

/** `peer`: other nodes and everyone above. `admin`: whoever may command this node. */
export type Access = 'peer' | 'admin';

export interface RoutedRequest {
  readonly request: IncomingRequest;
  /** Values of the `:name` parts, percent-decoded; `*` holds the rest of the path, decoded part by part. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
}

export interface Route {
  readonly method: string;
  /** Like `/v1/packages/:id/files/*`. */
  readonly pattern: string;
  readonly access: Access;
  readonly handle: (routed: RoutedRequest) => Promise<OutgoingResponse>;
}

export interface Tokens {
  readonly peer: string;
  readonly admin: string;
}

/** Unknown path, unknown method and missing right all look alike to whoever has no token. */
export function createRouter(routes: readonly Route[], tokens: Tokens, log: Log): Handler {
  return async (request) => {
    const access = accessOf(request.headers['authorization'], tokens);
    if (access === undefined) return errorResponse(401, 'peer-unauthorized', 'a valid token is needed');
    const url = parseTarget(request.path);
    for (const route of routes) {
      const params =
        url === undefined || route.method !== request.method ? undefined : match(route.pattern, url.pathname);
      if (params === undefined || url === undefined) continue;
      if (route.access === 'admin' && access !== 'admin')
        return errorResponse(403, 'peer-unauthorized', 'the admin token is needed');
      try {
        return await route.handle({ request, params, query: url.searchParams });
      } catch (error) {
        return failure(error, log, route);
      }
    }
    return errorResponse(404, 'usage', 'there is nothing here');
  };
}

function parseTarget(path: string): URL | undefined {
  return URL.canParse(path, 'http://node') && path.startsWith('/') ? new URL(path, 'http://node') : undefined;
}

/** Compares digests, so that neither length nor content of the right token shows in the time taken. */
function accessOf(authorization: string | undefined, tokens: Tokens): Access | undefined {
  const token = /^Bearer (\S{1,512})$/.exec(authorization ?? '')?.[1] ?? '';
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  const isAdmin = timingSafeEqual(digest(token), digest(tokens.admin));
  const isPeer = timingSafeEqual(digest(token), digest(tokens.peer));
  return isAdmin ? 'admin' : isPeer ? 'peer' : undefined;
}

function match(pattern: string, pathname: string): Record<string, string> | undefined {
  const wanted = pattern.split('/');
  const parts = pathname.split('/');
  const params: Record<string, string> = {};
  for (const [index, part] of wanted.entries()) {
    if (part === '*') {
      const rest = parts.slice(index).map(decodePart);
      if (rest.length === 0 || rest.includes(undefined)) return undefined;
      params['*'] = rest.join('/');
      return params;
    }
    const actual = decodePart(parts[index]);
    if (actual === undefined) return undefined;
    if (part.startsWith(':')) params[part.slice(1)] = actual;
    else if (part !== actual) return undefined;
  }
  return wanted.length === parts.length ? params : undefined;
}

function decodePart(part: string | undefined): string | undefined {
  try {
    return part === undefined ? undefined : decodeURIComponent(part);
  } catch {
    return undefined;
  }
}

const statusByCode: Partial<Record<ErrorCode, number>> = {
  usage: 400,
  'format-invalid': 400,
  'payload-invalid': 400,
  'package-unknown': 404,
  'destination-unknown': 404,
  'content-missing': 404,
  'name-taken': 409,
  'nothing-to-do': 409,
  'limit-exceeded': 413,
  'peer-busy': 503,
  'disk-full': 507,
};

function failure(error: unknown, log: Log, route: Route): OutgoingResponse {
  if (error instanceof ReplicationError && error.code !== 'internal') {
    return errorResponse(statusByCode[error.code] ?? 500, error.code, error.message, error.hint);
  }
  log('error', 'a request failed unexpectedly', {
    route: `${route.method} ${route.pattern}`,
    cause: error instanceof Error ? error.stack : String(error),
  });
  return errorResponse(500, 'internal', 'the node failed; its log says why');
}

export function jsonResponse(status: number, value: unknown): OutgoingResponse {
  return {
    status,
    headers: { 'content-type': contentTypes.json },
    body: new Uint8Array(Buffer.from(JSON.stringify(value))),
  };
}

export function errorResponse(status: number, code: ErrorCode, message: string, hint?: string): OutgoingResponse {
  return jsonResponse(status, { error: { code, message, ...(hint === undefined ? {} : { hint }) } });
}

/** The whole body of a request, refused beyond `bytesMax`. */
export async function readBody(
  request: IncomingRequest,
  bytesMax: number = limits.requestBodyBytesMax,
): Promise<Uint8Array> {
  const blocks: Uint8Array[] = [];
  let bytes = 0;
  for await (const block of request.body) {
    bytes += block.byteLength;
    if (bytes > bytesMax)
      throw new ReplicationError('limit-exceeded', `Cannot accept a body of more than ${bytesMax} bytes`);
    blocks.push(block);
  }
  return new Uint8Array(Buffer.concat(blocks));
}

export async function readJson(request: IncomingRequest): Promise<unknown> {
  const body = await readBody(request);
  try {
    return body.byteLength === 0 ? {} : JSON.parse(Buffer.from(body).toString('utf8'));
  } catch (cause) {
    throw new ReplicationError('usage', 'Cannot accept the request: its body is not JSON', { cause });
  }
}

/** Whether a code told by a peer is one of ours, for messages that pass it on. */
export function knownCode(code: string | undefined): ErrorCode | undefined {
  return code !== undefined && isErrorCode(code) ? code : undefined;
}
