/** Packages and their versions. */
import type { SiteCode } from './site.ts';

declare const brand: unique symbol;

/** Site code of the creating site and 5 upper-case hex digits, for example `P0100003` (facts §1). */
export type PackageId = string & { readonly [brand]: 'PackageId' };

export const packageIdPattern: RegExp = /^[A-Z][A-Z0-9]{2}[0-9A-F]{5}$/;

export function isPackageId(text: string): text is PackageId {
  return packageIdPattern.test(text);
}

const packageCountMax = 0xfffff;

/** `number` counts from 1. */
export function packageIdOf(site: SiteCode, number: number): PackageId {
  if (!Number.isInteger(number) || number < 1 || number > packageCountMax) {
    throw new RangeError(`A site numbers its packages 1 to ${packageCountMax}, got ${number}`);
  }
  return `${site}${number.toString(16).toUpperCase().padStart(5, '0')}` as PackageId;
}

/** The five digits of an id as a number. */
export function packageNumberOf(id: PackageId): number {
  return Number.parseInt(id.slice(3), 16);
}

export function siteCodeOf(id: PackageId): SiteCode {
  return id.slice(0, 3) as SiteCode;
}

/** Source version: 1, 2, 3 …; 0 stands for "none". */
export type Version = number;

/** No control characters, and none that turn the direction of what follows: names are shown on terminals. */
export function isPrintable(text: string): boolean {
  return !/[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/u.test(text);
}

/** How an entry of the sending queue is preferred (facts §6.3): smaller goes first. */
export const priorities = { high: 1, medium: 2, low: 3 } as const;
