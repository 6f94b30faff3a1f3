/**
 * Talks to a running node over its HTTP API, as whoever has its token. Bounded answers, our own errors, no retries: who
 * calls decides about those.
 */
import { join, resolve } from 'node:path';
import type { z } from 'zod';
import { configFileName, loadConfig } from '../config.ts';
import { isErrorCode, ReplicationError } from '../errors.ts';
import type { NodeConfig } from '../model/config.ts';
import { limits } from '../model/limits.ts';
import { errorMessage, parseAnswer, proofMessage, type StatusMessage, statusMessage } from '../wire/api.ts';
import { contentTypes, httpPaths, nodeProof } from '../wire/http.ts';
import { isReadableByOthers } from '../world/host.ts';
import type { Connection, IncomingResponse, Method, Network } from '../world/network.ts';
import { randomHex } from '../world/random.ts';
import { type Shell, usageError } from './shell.ts';

export interface NodeAddress {
  /** For messages. */
  readonly name: string;
  /** `http://host:port`. */
  readonly origin: string;
  readonly token: string;
}

export interface NodeRequest {
  readonly method: Method;
  readonly path: string;
  /** Sent as JSON. */
  readonly body?: object;
}

export class NodeClient implements AsyncDisposable {
  readonly name: string;
  readonly #token: string;
  readonly #connection: Connection;

  constructor(network: Network, address: NodeAddress) {
    this.name = address.name;
    this.#token = address.token;
    this.#connection = network.connect(address.origin);
  }

  /** An answer that is not 2xx becomes an error with the node's own code. */
  async send({ method, path, body }: NodeRequest, signal: AbortSignal): Promise<IncomingResponse> {
    const response = await this.#connection.request({
      method,
      path,
      headers: {
        authorization: `Bearer ${this.#token}`,
        ...(body === undefined ? {} : { 'content-type': contentTypes.json }),
      },
      ...(body === undefined ? {} : { body: new Uint8Array(Buffer.from(JSON.stringify(body))) }),
      signal,
    });
    if (response.status >= 200 && response.status < 300) return response;
    throw await this.#refusal(response, `${method} ${path}`);
  }

  async json<Schema extends z.ZodType>(
    schema: Schema,
    request: NodeRequest,
    signal: AbortSignal,
  ): Promise<z.infer<Schema>> {
    const response = await this.send(request, signal);
    return parseAnswer(schema, parseJson(await readBody(response, limits.answerBytesMax)), this.name);
  }

  /** For requests whose answer says nothing beyond its status. */
  async command(request: NodeRequest, signal: AbortSignal): Promise<void> {
    await readBody(await this.send(request, signal), limits.answerBytesMax);
  }

  /**
   * Makes sure that the node whose token this is listens there, before the token is shown: a killed node leaves its port
   * to whoever takes it. Throws `peer-unauthorized` when somebody else answers.
   */
  async demandProof(nonce: string, signal: AbortSignal): Promise<void> {
    const path = `${httpPaths.proof}?nonce=${nonce}`;
    const response = await this.#connection.request({ method: 'GET', path, signal });
    const said = proofMessage.safeParse(parseJson(await readBody(response, limits.answerBytesMax)));
    if (said.success && said.data.proof === nodeProof(this.#token, nonce)) return;
    throw new ReplicationError(
      'peer-unauthorized',
      `Somebody else than ${this.name} listens where it should: its token was not shown`,
      {
        hint: 'start the node; if it runs, its tokens were changed: start it again',
      },
    );
  }

  status(signal: AbortSignal): Promise<StatusMessage> {
    return this.json(statusMessage, { method: 'GET', path: httpPaths.status }, signal);
  }

  async #refusal(response: IncomingResponse, asked: string): Promise<ReplicationError> {
    const said = errorMessage.safeParse(parseJson(await readBody(response, limits.answerBytesMax)));
    if (response.status === 401 || response.status === 403) {
      return new ReplicationError('peer-unauthorized', `${this.name} refused ${asked}: the token is not its own`, {
        hint: 'check [tokens] in its siteferry.toml',
      });
    }
    if (!said.success)
      return new ReplicationError('peer-answer-invalid', `${this.name} answered ${asked} with ${response.status}`);
    const { code, message, hint } = said.data.error;
    return new ReplicationError(isErrorCode(code) ? code : 'peer-refused', message, hint === undefined ? {} : { hint });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection[Symbol.asyncDispose]();
  }
}

/** The whole body of an answer, refused beyond `bytesMax`. */
export async function readBody(response: IncomingResponse, bytesMax: number): Promise<Uint8Array> {
  const blocks: Uint8Array[] = [];
  let bytes = 0;
  for await (const block of response.body) {
    bytes += block.byteLength;
    if (bytes > bytesMax)
      throw new ReplicationError('peer-answer-invalid', `Cannot read an answer of more than ${bytesMax} bytes`);
    blocks.push(block);
  }
  return new Uint8Array(Buffer.concat(blocks));
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return bytes.byteLength === 0 ? {} : JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    return undefined;
  }
}

/** The directory meant by `--site`, SITEFERRY_SITE or the current one; absolute. */
export function nodeDirectory(shell: Shell, site: string | undefined): string {
  return resolve(shell.workingDirectory, site ?? shell.environment['SITEFERRY_SITE'] ?? '.');
}

/** Where the node of `directory` runs and how to command it; `origin` is `undefined` when it does not run. */
export async function findNode(
  shell: Shell,
  directory: string,
): Promise<{ readonly config: NodeConfig; readonly origin: string | undefined }> {
  const { files, environment } = shell;
  if ((await files.facts(join(directory, configFileName))) === undefined) {
    throw new ReplicationError('config-missing', `Cannot find a node in ${directory}: it has no ${configFileName}`, {
      hint: `name its directory with --site DIR or SITEFERRY_SITE, or make one: siteferry site init ${directory} --code P01`,
    });
  }
  const { config, warnings } = await loadConfig({ files, directory, environment, isReadableByOthers });
  for (const warning of warnings) shell.err.write(`warning: ${warning}\n`);
  return { config, origin: await readOrigin(shell, directory) };
}

/** What `src/site.ts` wrote at the start of the node. A killed node leaves it behind, so it proves nothing. */
async function readOrigin({ files }: Shell, directory: string): Promise<string | undefined> {
  const path = join(directory, 'run', 'origin');
  const facts = await files.facts(path);
  if (facts?.kind !== 'file' || facts.bytes > 300) return undefined;
  await using handle = await files.open(path, 'read');
  const bytes = new Uint8Array(facts.bytes);
  await handle.read(0, bytes);
  return Buffer.from(bytes).toString('utf8').trim();
}

/** Runs `work` with a client of the running node of `directory`. */
export async function withNode<Result>(
  shell: Shell,
  directory: string,
  work: (client: NodeClient) => Promise<Result>,
): Promise<Result> {
  const { config, origin } = await findNode(shell, directory);
  const hint = `siteferry site start ${directory}`;
  if (origin === undefined)
    throw new ReplicationError('link-failed', `${config.name} (${directory}) is not running`, { hint });
  await using client = new NodeClient(await shell.loadNetwork(), {
    name: config.name,
    origin,
    token: config.tokens.admin,
  });
  try {
    await client.demandProof(randomHex(shell.random, 32), AbortSignal.timeout(10_000));
    return await work(client);
  } catch (error) {
    if (!(error instanceof ReplicationError) || error.code !== 'link-failed') throw error;
    const message = `Cannot reach ${config.name} at ${origin}: ${error.message}; most likely it is not running`;
    throw new ReplicationError('link-failed', message, { cause: error, hint });
  }
}

/** A command that is one request: carried out, or with `--plan` only shown. Secrets in it are masked. */
export interface Change {
  readonly request: NodeRequest;
  /** What is printed once it is done. */
  readonly done: { readonly document: object; readonly text: string };
}

export async function carryOut(
  shell: Shell,
  options: { readonly site?: string; readonly plan?: boolean },
  { request, done }: Change,
): Promise<{ readonly document: object; readonly text: string }> {
  const directory = nodeDirectory(shell, options.site);
  if (options.plan === true) return await planOf(shell, directory, request);
  await withNode(shell, directory, (client) => client.command(request, shell.signal));
  return done;
}

/** What would be asked of the node; nothing is. */
export async function planOf(
  shell: Shell,
  directory: string,
  { method, path, body }: NodeRequest,
): Promise<{ readonly document: object; readonly text: string }> {
  const { config, origin } = await findNode(shell, directory);
  const shown = body === undefined ? undefined : { ...body, ...('token' in body ? { token: maskedToken } : {}) };
  const node = { name: config.name, origin: origin ?? null };
  const lines = [
    `would ask ${config.name}${origin === undefined ? ' (not running)' : ` at ${origin}`}:`,
    `  ${method} ${path}${shown === undefined ? '' : ` ${JSON.stringify(shown)}`}`,
    'nothing was changed',
  ];
  return {
    document: { plan: { node, method, path, ...(shown === undefined ? {} : { body: shown }) } },
    text: lines.join('\n'),
  };
}

export const maskedToken = '********';

/** The token of `--token` or, better, `--token-file`: what is typed shows in process lists and histories. */
export async function readToken(
  shell: Shell,
  options: { readonly token?: string; readonly tokenFile?: string },
): Promise<string> {
  if ((options.token === undefined) === (options.tokenFile === undefined))
    throw usageError('Give the token of the other node by either --token-file FILE or --token TOKEN');
  if (options.token !== undefined) return options.token;
  const path = resolve(shell.workingDirectory, options.tokenFile ?? '');
  const facts = await shell.files.facts(await shell.files.realPath(path));
  if (facts?.kind !== 'file' || facts.bytes > 4096)
    throw usageError(`Cannot read a token from ${path}: not a small file`);
  await using handle = await shell.files.open(await shell.files.realPath(path), 'read');
  const bytes = new Uint8Array(facts.bytes);
  await handle.read(0, bytes);
  return Buffer.from(bytes).toString('utf8').trim();
}
