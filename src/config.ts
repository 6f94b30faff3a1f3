/**
 * The only reader of settings: `siteferry.toml` in a node's directory, and the environment above it.
 *
 * Guarantees: all faults are told at once, each with its key and where it came from; an unknown key is refused, never
 * ignored; no secret appears in a message. What is returned is frozen: a change of the file needs a new start.
 */
import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';
import { closestMatch } from 'leven';
import { parse, stringify, TomlError } from 'smol-toml';
import { z } from 'zod';
import { ReplicationError } from './errors.ts';
import { type NodeConfig, nodeConfigSchema } from './model/config.ts';
import type { NodeKind } from './model/site.ts';
import type { Files } from './world/files.ts';
import type { Environment } from './world/host.ts';
import { type Random, randomHex } from './world/random.ts';

export const configFileName = 'siteferry.toml';
const configBytesMax = 1024 * 1024;

const environmentPrefix = 'SITEFERRY_';
/** Read by the command line and not settings of a node. */
const reservedNames: ReadonlySet<string> = new Set(['SITEFERRY_SITE']);

/** Where a value came from. */
export type Origin = 'default' | 'file' | `environment ${string}`;

export interface LoadedConfig {
  readonly config: NodeConfig;
  /** Key path (`listen.port`) to origin, in the order of the schema. */
  readonly origins: ReadonlyMap<string, Origin>;
  /** What deserves a look but stops nothing. */
  readonly warnings: readonly string[];
}

export interface LoadOptions {
  readonly files: Files;
  /** Absolute path of the node's directory. */
  readonly directory: string;
  readonly environment: Environment;
  /** Whether others than the owner may read a file; absent where the platform has no modes. */
  readonly isReadableByOthers?: (path: string) => Promise<boolean>;
}

type Tree = { [key: string]: unknown };

/** Throws `config-missing` and `config-invalid`. */
export async function loadConfig(options: LoadOptions): Promise<LoadedConfig> {
  const { files, directory, environment } = options;
  const path = join(directory, configFileName);
  const tree = parseToml(await readText(files, path, directory), path);
  const schema = nodeConfigSchema(availableParallelism());
  const keys = keysOf(schema);
  const origins = new Map<string, Origin>();
  for (const { path: key } of keys) origins.set(key, lookUp(tree, key) === undefined ? 'default' : 'file');
  const faults = unknownKeyFaults(tree, keys);
  faults.push(...applyEnvironment(tree, { keys, environment, origins }));
  const parsed = schema.safeParse(tree);
  for (const issue of parsed.error?.issues ?? []) {
    if (issue.code === 'unrecognized_keys') continue; // told above, with a suggestion
    const key = issue.path.join('.');
    const origin = origins.get(key) ?? 'file';
    const isMissing = issue.code !== 'custom' && lookUp(tree, key) === undefined;
    const state = isMissing ? `is missing; it ${issue.message}` : issue.message;
    faults.push(`${key}: ${state}${origin.startsWith('environment') ? ` (from the ${origin})` : ''}`);
  }
  if (!parsed.success || faults.length > 0) {
    throw new ReplicationError('config-invalid', `Cannot use ${path}: ${[...new Set(faults)].join('; ')}`, {
      hint: `edit ${path}`,
    });
  }
  for (const key of origins.keys()) if (lookUp(parsed.data, key) === undefined) origins.delete(key);
  return { config: deepFreeze(parsed.data), origins, warnings: await accessWarnings(options, path) };
}

async function readText(files: Files, path: string, directory: string): Promise<string> {
  const facts = await files.facts(path);
  if (facts === undefined) {
    throw new ReplicationError('config-missing', `Cannot find ${path}: ${directory} is not the directory of a node`, {
      hint: `siteferry site init ${directory} --code P01`,
    });
  }
  if (facts.bytes > configBytesMax)
    throw new ReplicationError('config-invalid', `Cannot use ${path}: it has ${facts.bytes} bytes, more than a MiB`);
  await using handle = await files.open(path, 'read');
  const bytes = new Uint8Array(facts.bytes);
  const count = await handle.read(0, bytes);
  return Buffer.from(bytes.subarray(0, count)).toString('utf8');
}

function parseToml(text: string, path: string): Tree {
  try {
    return parse(text);
  } catch (cause) {
    if (!(cause instanceof TomlError)) throw cause;
    // Only the first line of the message: what follows quotes the file, which holds tokens.
    const reason = cause.message.split('\n')[0]?.replace(/^Invalid TOML document: /, '');
    throw new ReplicationError(
      'config-invalid',
      `Cannot use ${path}: line ${cause.line}, column ${cause.column}: ${reason}`,
      { hint: `edit ${path}` },
    );
  }
}

interface Key {
  readonly path: string;
  readonly isNumber: boolean;
}

interface SchemaNode {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
}

/** Every key a file may hold, read off the schema. */
function keysOf(schema: z.ZodType<NodeConfig>): readonly Key[] {
  const leaves = (node: SchemaNode, prefix: string): Key[] =>
    node.properties === undefined
      ? [{ path: prefix, isNumber: node.type === 'integer' }]
      : Object.entries(node.properties).flatMap(([name, child]) => leaves(child, joinKey(prefix, name)));
  return leaves(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as SchemaNode, '');
}

function joinKey(prefix: string, name: string): string {
  return prefix === '' ? name : `${prefix}.${name}`;
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) !== Date.prototype;
}

function lookUp(tree: unknown, key: string): unknown {
  let value: unknown = tree;
  for (const part of key.split('.')) value = isTree(value) && Object.hasOwn(value, part) ? value[part] : undefined;
  return value;
}

function unknownKeyFaults(tree: Tree, keys: readonly Key[], prefix = ''): string[] {
  const known = keys.map((key) => key.path);
  return Object.entries(tree).flatMap(([name, value]) => {
    const path = joinKey(prefix, name);
    if (known.includes(path)) return [];
    const isSection = known.some((key) => key.startsWith(`${path}.`));
    if (isSection) return isTree(value) ? unknownKeyFaults(value, keys, path) : [];
    return [`${path}: is not a setting${suggestion(path, known)}`];
  });
}

/** The nearest known name, when it is near enough to be what was meant. */
function suggestion(name: string, known: readonly string[]): string {
  const nearest = closestMatch(name, known, { maxDistance: Math.max(2, Math.ceil(name.length / 3)) });
  return nearest === undefined ? '' : `; did you mean ${nearest}?`;
}

/** `upstream.pollSeconds` is `SITEFERRY_UPSTREAM_POLL_SECONDS`. */
export function environmentNameOf(key: string): string {
  return environmentPrefix + key.replace(/[A-Z]/g, '_$&').replaceAll('.', '_').toUpperCase();
}

function applyEnvironment(
  tree: Tree,
  options: {
    readonly keys: readonly Key[];
    readonly environment: Environment;
    readonly origins: Map<string, Origin>;
  },
): string[] {
  const keyByName = new Map(options.keys.map((key) => [environmentNameOf(key.path), key]));
  const faults: string[] = [];
  for (const [name, value] of Object.entries(options.environment)) {
    if (!name.startsWith(environmentPrefix) || value === undefined || reservedNames.has(name)) continue;
    const key = keyByName.get(name);
    if (key === undefined) {
      faults.push(`environment ${name}: is not a setting${suggestion(name, [...keyByName.keys()])}`);
      continue;
    }
    assign(tree, key.path, key.isNumber && /^-?\d{1,15}$/.test(value) ? Number(value) : value);
    options.origins.set(key.path, `environment ${name}`);
  }
  return faults;
}

function assign(tree: Tree, key: string, value: unknown): void {
  const parts = key.split('.');
  const leaf = parts.pop() ?? '';
  let section = tree;
  for (const part of parts) {
    const child = section[part];
    if (child !== undefined && !isTree(child)) return; // told as a fault of the section
    section[part] = child ?? {};
    section = section[part] as Tree;
  }
  section[leaf] = value;
}

async function accessWarnings(options: LoadOptions, path: string): Promise<readonly string[]> {
  if ((await options.isReadableByOthers?.(path)) !== true) return [];
  return [`${path} holds tokens and can be read by others; try: chmod 600 ${path}`];
}

function deepFreeze<Value>(value: Value): Value {
  if (typeof value === 'object' && value !== null) Object.values(value).forEach(deepFreeze);
  return Object.freeze(value);
}

export interface InitOptions {
  readonly files: Files;
  readonly random: Random;
  /** Absolute; created when absent. */
  readonly directory: string;
  readonly kind: NodeKind;
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly upstream?: { readonly url: string; readonly token: string; readonly pollSeconds?: number };
  readonly logLevel?: NodeConfig['log']['level'];
}

/**
 * Writes a commented settings file with fresh tokens, readable by its owner alone, durable on return. Never overwrites:
 * `config-exists`. Values that a later `loadConfig` would refuse are `config-invalid` now.
 */
export async function initConfig(options: InitOptions): Promise<NodeConfig> {
  const { files, directory } = options;
  const path = join(directory, configFileName);
  const fresh = (): string => randomHex(options.random, 32);
  const text = render(options, { admin: fresh(), feed: fresh(), peer: fresh() });
  const parsed = nodeConfigSchema(availableParallelism()).safeParse(parse(text));
  if (!parsed.success) {
    const faults = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
    throw new ReplicationError('config-invalid', `Cannot write ${path}: ${faults.join('; ')}`);
  }
  await refuseExisting(files, path, directory);
  await files.makeDirectory(directory);
  const draft = join(directory, `.${basename(path)}.${randomHex(options.random, 4)}`);
  try {
    await using handle = await files.open(draft, 'create');
    await handle.write(0, new Uint8Array(Buffer.from(text)));
    await handle.sync();
    await handle.close();
    await refuseExisting(files, path, directory);
    await files.rename(draft, path);
  } catch (error) {
    await files.remove(draft);
    throw error;
  }
  await files.syncDirectory(directory);
  return deepFreeze(parsed.data);
}

async function refuseExisting(files: Files, path: string, directory: string): Promise<void> {
  if ((await files.facts(path)) === undefined) return;
  throw new ReplicationError('config-exists', `Cannot set up a node in ${directory}: it already has ${path}`, {
    hint: `siteferry site start ${directory}`,
  });
}

function render(options: InitOptions, tokens: NodeConfig['tokens']): string {
  const { kind, name, host, port, upstream, logLevel } = options;
  const line = (key: string, value: string | number): string => stringify({ [key]: value }).trim();
  const lines = [
    '# Settings of one Siteferry node. Every key can be overridden by the environment: listen.port by',
    `# ${environmentNameOf('listen.port')}, and so on. "siteferry config" shows what is in effect. A change needs a new start.`,
    '# This file holds secrets: keep it readable by its owner alone.',
    '',
    '# What this node is, and what others call it. Do not change these once the node has started.',
    line('kind', kind),
    line('name', name),
    '',
    '[listen]',
    '# Addresses to listen on: 127.0.0.1 for this machine alone, 0.0.0.0 for all networks.',
    line('host', host),
    '# 0 lets the system choose at each start.',
    line('port', port),
    '',
    '[tokens]',
    '# Whoever has it commands this node.',
    line('admin', tokens.admin),
    '# The parent shows it to send packages here: give it to that one site.',
    line('feed', tokens.feed),
    '# Branches and clients show it to read: give it to those who pull from here.',
    line('peer', tokens.peer),
    '',
  ];
  if (upstream !== undefined) {
    lines.push('[upstream]', '# The node this branch pulls from, and its peer token.');
    lines.push(line('url', upstream.url), line('token', upstream.token));
    lines.push('# How often it asks for new versions.', line('pollSeconds', upstream.pollSeconds ?? 60), '');
  }
  lines.push('[log]', '# debug, info, warn, error or silent; JSON lines on standard error.');
  lines.push(logLevel === undefined ? '# level = "info"' : line('level', logLevel), '');
  lines.push(
    '[threads]',
    '# Worker threads for deltas and compression; one less than the cores by default.',
    '# count = 3',
    '',
  );
  lines.push('[sender]', '# Sendings at once, all destinations, 1 to 999.', '# payloadCountMax = 5', '');
  lines.push('[distribution]', '# Packages distributed at once, 1 to 50.', '# packageCountMax = 3', '');
  return lines.join('\n');
}
