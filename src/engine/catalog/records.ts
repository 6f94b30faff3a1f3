/** The records of the catalogue: what an operator told this node. On disk each is a framed JSON document. */
import { z } from 'zod';
import { isPackageId, type PackageId, type Version } from '../../model/package.ts';
import { isNodeName, type NodeName } from '../../model/site.ts';
import type { FrameKind } from '../../wire/frame.ts';

export interface PackageRecord {
  readonly id: PackageId;
  readonly name: string;
  /** Folder the versions are taken from; only at the creating site. */
  readonly source?: string;
  /** Destinations assigned by `package distribute`, beside those that receive everything. */
  readonly assigned: readonly NodeName[];
  /** Highest number a version ever got here: numbers are never given twice, whatever is lost. */
  readonly lastVersion: Version | 0;
}

export interface DestinationRecord {
  readonly name: NodeName;
  readonly kind: 'site' | 'dp';
  /** `http://host:port`. */
  readonly url: string;
  /** Proves us to the destination. Secret: never logged, never shown. */
  readonly token: string;
  readonly receives: 'all' | 'assigned';
  /** The operator's switch: a closed address sends nothing. */
  readonly isOpen: boolean;
}

export const recordFrame: FrameKind = {
  magic: 'SFCR',
  version: 1,
  bodyBytesMax: 1024 * 1024,
  noun: 'catalogue record',
};

export const packageSchema = z.strictObject({
  id: z.string().refine(isPackageId),
  name: z.string(),
  source: z.string().optional(),
  assigned: z.array(z.string().refine(isNodeName)),
  lastVersion: z.int().nonnegative(),
});
export const destinationSchema = z.strictObject({
  name: z.string().refine(isNodeName),
  kind: z.enum(['site', 'dp']),
  url: z.string(),
  token: z.string(),
  receives: z.enum(['all', 'assigned']),
  isOpen: z.boolean(),
});
