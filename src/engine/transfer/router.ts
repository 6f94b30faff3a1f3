/**
 * Routes requests to the roles that answer them, after deciding who asks. Our own sixty lines and not a web framework:
 * it runs unchanged on the simulated network, and the body stays a stream under our bounds.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { type ErrorCode, ReplicationError } from '../../errors.ts';
import { limits } from '../../model/limits.ts';
import { contentTypes, httpPaths, nodeProof } from '../../wire/http.ts';
import type { Log } from '../../world/log.ts';
import type { Handler, IncomingRequest, OutgoingResponse } from '../../world/network.ts';

/** What a token opens, each more than the one before: reading, sending payloads to this node, commanding it. */
export type Access = 'peer' | 'feed' | 'admin';

const ranks: Readonly<Record<Access, number>> = { peer: 1, feed: 2, admin: 3 };

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

export type Tokens = Readonly<Record<Access, string>>;

/** Unknown path, unknown method and missing right all look alike to whoever has no token. */
export function createRouter(routes: readonly Route[], tokens: Tokens, log: Log): Handler {
  return async (request) => {
    const access = accessOf(request.headers['authorization'], tokens);
    const url = parseTarget(request.path);
    if (access === undefined) return url?.pathname === httpPaths.proof ? prove(url, tokens.admin) : refuseStranger();
    for (const route of routes) {
      const params =
        url === undefined || route.method !== request.method ? undefined : match(route.pattern, url.pathname);
      if (params === undefined || url === undefined) continue;
      if (ranks[access] < ranks[route.access]) {
        return errorResponse(403, 'peer-unauthorized', `the ${route.access} token is needed`);
      }
      try {
        return await route.handle({ request, params, query: url.searchParams });
      } catch (error) {
        return failure(error, log, route, access);
      }
    }
    return errorResponse(404, 'usage', 'there is nothing here');
  };
}

/** The connection of a stranger is not kept: it would be in the way of those who have a token. */
function refuseStranger(): OutgoingResponse {
  const refusal = errorResponse(401, 'peer-unauthorized', 'a valid token is needed');
  return { ...refusal, headers: { ...refusal.headers, connection: 'close' } };
}

/**
 * Lets a client make sure that the right node listens here before it shows the admin token: after a crash anybody on
 * the machine may listen on the port.
 */
function prove(url: URL, adminToken: string): OutgoingResponse {
  const nonce = url.searchParams.get('nonce') ?? '';
  if (!/^[0-9a-f]{64}$/.test(nonce)) return refuseStranger();
  return { ...jsonResponse(200, { proof: nodeProof(adminToken, nonce) }) };
}

function parseTarget(path: string): URL | undefined {
  return URL.canParse(path, 'http://node') && path.startsWith('/') ? new URL(path, 'http://node') : undefined;
}

/** Compares digests, so that neither length nor content of the right token shows in the time taken. */
function accessOf(authorization: string | undefined, tokens: Tokens): Access | undefined {
  const token = /^Bearer (\S{1,512})$/.exec(authorization ?? '')?.[1] ?? '';
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  const shown = digest(token);
  // All three are compared, whichever it is.
  const opened = (['admin', 'feed', 'peer'] as const).filter((access) =>
    timingSafeEqual(shown, digest(tokens[access])),
  );
  return opened[0];
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

/** Peers get the code; what happened here, with its paths, is for those who command the node. */
function failure(error: unknown, log: Log, route: Route, access: Access): OutgoingResponse {
  if (error instanceof ReplicationError && error.code !== 'internal') {
    const isTold = access === 'admin' || statusByCode[error.code] !== 507;
    return errorResponse(
      statusByCode[error.code] ?? 500,
      error.code,
      isTold ? error.message : 'there is no room',
      error.hint,
    );
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
