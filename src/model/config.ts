/**
 * The settings of one node: their shape, ranges and defaults. Reading them is the work of `src/config.ts`; nothing else
 * in the program knows where a setting came from.
 */
import { z } from 'zod';
import { type NodeKind, nodeNamePattern, siteCodePattern } from './site.ts';

/** Long enough that nobody guesses it: `initConfig` draws 32 random bytes, 64 hex digits. */
export const tokenCharactersMin = 32;
const tokenCharactersMax = 256;

export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type ConfiguredLogLevel = (typeof logLevels)[number];

export interface NodeConfig {
  readonly kind: NodeKind;
  /** A site's code, or the name of a distribution point. */
  readonly name: string;
  readonly listen: { readonly host: string /** 0 lets the system choose at each start. */; readonly port: number };
  /** `admin` commands the node, `feed` is what its parent shows to send to it, `peer` what those show who pull from it. Secret: never logged, never shown. */
  readonly tokens: { readonly admin: string; readonly feed: string; readonly peer: string };
  /** Where a branch pulls from; present at branches only. */
  readonly upstream?: { readonly url: string; readonly token: string; readonly pollSeconds: number };
  readonly log: { readonly level: ConfiguredLogLevel };
  /** Worker threads for chunking, deltas and compression. */
  readonly threads: { readonly count: number };
  readonly sender: { /** Sendings at once, all destinations. */ readonly payloadCountMax: number };
  readonly distribution: { /** Packages distributed at once. */ readonly packageCountMax: number };
}

function within(min: number, max: number): z.ZodInt {
  const fault = `must be a whole number from ${min} to ${max}`;
  return z.int(fault).min(min, fault).max(max, fault);
}

/** `http://host:port` and nothing behind it but perhaps a `/`. */
export function isBareOrigin(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  return url.protocol === 'http:' && url.username === '' && `${url.pathname}${url.search}${url.hash}` === '/';
}

const tokenFault = `must have ${tokenCharactersMin} to ${tokenCharactersMax} characters and no blank`;
const token = z.string(tokenFault).regex(new RegExp(`^\\S{${tokenCharactersMin},${tokenCharactersMax}}$`), tokenFault);
const originFault = 'must be http://host:port alone';
const origin = z.string(originFault).refine(isBareOrigin, originFault);

/** `coreCount` of this machine decides the default number of threads: one core stays free for network and disk. */
export function nodeConfigSchema(coreCount: number): z.ZodType<NodeConfig> {
  return z
    .strictObject({
      kind: z.enum(['site', 'dp', 'branch'], 'must be "site", "dp" or "branch"'),
      name: z.string('must be a text'),
      listen: z
        .strictObject({
          host: z.string('must be a text').min(1, 'must not be empty').default('127.0.0.1'),
          port: within(0, 65_535),
        })
        .prefault({} as never),
      tokens: z.strictObject({ admin: token, feed: token, peer: token }).prefault({} as never),
      upstream: z.strictObject({ url: origin, token, pollSeconds: within(1, 86_400).default(60) }).exactOptional(),
      log: z
        .strictObject({ level: z.enum(logLevels, `must be one of ${logLevels.join(', ')}`).default('info') })
        .prefault({}),
      threads: z.strictObject({ count: within(1, 256).default(Math.max(1, coreCount - 1)) }).prefault({}),
      // Facts §7.1 and §5: the ranges ConfigMgr allows.
      sender: z.strictObject({ payloadCountMax: within(1, 999).default(5) }).prefault({}),
      distribution: z.strictObject({ packageCountMax: within(1, 50).default(3) }).prefault({}),
    })
    .superRefine(
      (config, context) => {
        for (const [key, message] of relationFaults(config))
          context.addIssue({ code: 'custom', path: key.split('.'), message });
      },
      // Also beside faults elsewhere, so that all faults are told at once.
      { when: () => true },
    );
}

/** What single values cannot tell. Anything of `config` may be missing or wrong: that is told elsewhere. */
function* relationFaults(config: Partial<NodeConfig>): Generator<[key: string, fault: string]> {
  const { kind, name, tokens, upstream } = config;
  if (typeof name === 'string') {
    if (kind === 'site' && !siteCodePattern.test(name))
      yield ['name', 'must be a site code: a letter A-Z, then two of A-Z 0-9'];
    if ((kind === 'dp' || kind === 'branch') && !nodeNamePattern.test(name))
      yield ['name', 'must be 1 to 15 of A-Z 0-9 and "-", not beginning with "-"'];
  }
  if (kind === 'branch' && upstream === undefined)
    yield ['upstream', 'is missing: a branch needs the url and the peer token of the node it pulls from'];
  if ((kind === 'site' || kind === 'dp') && upstream !== undefined)
    yield ['upstream', `is for branches only; a ${kind} is pushed to`];
  for (const [lesser, greater] of [
    ['feed', 'admin'],
    ['peer', 'admin'],
    ['peer', 'feed'],
  ] as const) {
    if (typeof tokens?.[lesser] === 'string' && tokens[lesser] === tokens[greater])
      yield [
        `tokens.${lesser}`,
        `must differ from tokens.${greater}, or whoever has the one could do what the other allows`,
      ];
  }
}
