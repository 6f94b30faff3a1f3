/**
 * The JSON that nodes and the command line say to each other: one schema per message, the type read off it. Unknown
 * keys are dropped, so that a newer peer may say more; missing or wrong ones are `peer-answer-invalid`.
 */
import { z } from 'zod';
import { ReplicationError } from '../errors.ts';
import { isContentId } from '../model/content.ts';
import { limits } from '../model/limits.ts';
import { isPackageId, isPrintable } from '../model/package.ts';
import { nodeNamePattern } from '../model/site.ts';
import { mechanismsSchema } from './payload.ts';

const count = z.int().nonnegative();
const packageId = z.string().refine(isPackageId, 'is not a package id');

export const nodeMessage = z.object({
  name: z.string().regex(nodeNamePattern),
  kind: z.enum(['site', 'dp', 'branch']),
  software: z.string(),
});
export type NodeMessage = z.infer<typeof nodeMessage>;

/** Answer to `GET /v1/proof?nonce=…`, which needs no token. */
export const proofMessage = z.object({ proof: z.string() });

/** Newest installed version of each package a node holds. */
export const heldPackagesMessage = z.object({
  packages: z.array(
    z.object({
      id: packageId,
      name: z.string(),
      version: z.int().min(1).max(limits.versionMax),
      /** SHA-256 of the encoded manifest: two nodes that name a version mean the same tree. */
      manifest: z.string().refine(isContentId, 'is not a SHA-256'),
    }),
  ),
});
export type HeldPackagesMessage = z.infer<typeof heldPackagesMessage>;

/** Where an upload stands. `installed` and `failed` are final. */
export const uploadMessage = z.object({
  state: z.enum(['receiving', 'despooling', 'installed', 'failed']),
  offset: count,
  length: count,
  /** Why it failed: one of our error codes. */
  error: z.string().optional(),
});
export type UploadMessage = z.infer<typeof uploadMessage>;

/** One finished journey of a version over one hop. */
export const hopMessage = z.object({
  packageId,
  from: z.string(),
  to: z.string(),
  basisVersion: count,
  version: z.int().min(1),
  mechanisms: mechanismsSchema,
  logicalBytes: count,
  payloadBytes: count,
  /** Heads and bodies in both directions, lost attempts included. */
  wireBytes: count,
  seconds: z.number().nonnegative(),
  finishedMs: z.number(),
});
export type HopMessage = z.infer<typeof hopMessage>;

export const waitingMessage = z.object({
  queue: z.string(),
  key: z.string(),
  state: z.enum(['ready', 'running', 'waiting', 'parked']),
  attempts: count,
  /** When it is tried again, wall clock; absent when nothing but a person moves it. */
  untilMs: z.number().optional(),
  error: z.object({ code: z.string(), message: z.string(), hint: z.string().optional() }).optional(),
});
export type WaitingMessage = z.infer<typeof waitingMessage>;

export const destinationMessage = z.object({
  name: z.string().regex(nodeNamePattern),
  kind: z.enum(['site', 'dp']),
  url: z.string(),
  receives: z.enum(['all', 'assigned']),
  isOpen: z.boolean(),
});
export type DestinationMessage = z.infer<typeof destinationMessage>;

export const packageMessage = z.object({
  id: packageId,
  name: z.string(),
  source: z.string().optional(),
  version: count,
  files: count,
  bytes: count,
  destinations: z.array(z.object({ name: z.string(), version: count })),
  error: z.object({ code: z.string(), message: z.string() }).optional(),
});
export type PackageMessage = z.infer<typeof packageMessage>;

export const statusEntryMessage = z.object({
  id: count,
  severity: z.enum(['info', 'warning', 'error']),
  atMs: z.number(),
  component: z.string(),
  text: z.string(),
});
export type StatusEntryMessage = z.infer<typeof statusEntryMessage>;

export const statusMessage = z.object({
  node: nodeMessage,
  packages: z.array(packageMessage),
  destinations: z.array(destinationMessage),
  waiting: z.array(waitingMessage),
  hops: z.array(hopMessage),
  messages: z.array(statusEntryMessage),
});
export type StatusMessage = z.infer<typeof statusMessage>;

export const createPackageMessage = z.strictObject({
  name: z.string().trim().min(1).max(limits.packageNameCharactersMax).refine(isPrintable, 'has control characters'),
  source: z.string().min(1),
});
export const createdPackageMessage = z.object({ id: packageId });

export const distributeMessage = z.strictObject({ to: z.string().regex(nodeNamePattern) });

function isBareOrigin(text: string): boolean {
  return URL.canParse(text) && new URL(text).protocol === 'http:' && new URL(text).origin === text.replace(/\/$/, '');
}

export const setDestinationMessage = z.strictObject({
  kind: z.enum(['site', 'dp']),
  url: z.string().refine(isBareOrigin, 'must be http://host:port alone'),
  token: z.string().min(16).max(256),
  receives: z.enum(['all', 'assigned']).default('assigned'),
});
export const setOpenMessage = z.strictObject({ isOpen: z.boolean() });

export const errorMessage = z.object({
  error: z.object({ code: z.string().max(40), message: z.string().max(4_000), hint: z.string().max(1_000).optional() }),
});

/** Contents one side asks about: at most `missingQuestionCountMax` of them, 8 bytes each. */
export const contentHintBytes = 8;

/** A hint is the first 8 bytes of the identity: enough to ask by, never enough to believe. */
export function contentHint(id: string): string {
  if (!isContentId(id)) throw new RangeError(`${id} is not a content id`);
  return id.slice(0, 2 * contentHintBytes);
}

/** Reads a message a person or client sent us; `usage` lists every fault. */
export function parseCommand<Schema extends z.ZodType>(schema: Schema, value: unknown): z.infer<Schema> {
  const parsed = schema.safeParse(value);
  if (!parsed.success)
    throw new ReplicationError('usage', `Cannot accept the request: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}

/** Reads a message a peer answered with; `peer-answer-invalid` otherwise. */
export function parseAnswer<Schema extends z.ZodType>(schema: Schema, value: unknown, from: string): z.infer<Schema> {
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    throw new ReplicationError(
      'peer-answer-invalid',
      `Cannot read the answer of ${from}: ${z.prettifyError(parsed.error).slice(0, 300)}`,
    );
  }
  return parsed.data;
}
