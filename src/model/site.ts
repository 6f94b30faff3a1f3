/** Who is who: sites, distribution points, and the names they go by. */
declare const brand: unique symbol;

/** Three characters `A-Z0-9`, the first a letter (facts §1). */
export type SiteCode = string & { readonly [brand]: 'SiteCode' };

/** Name of a distribution point: 1 to 15 characters `A-Z0-9-`, as a NetBIOS computer name. */
export type NodeName = string & { readonly [brand]: 'NodeName' };

/** What a process is. A `site` decides and sends on; a `dp` receives and serves; a `branch` pulls and serves. */
export type NodeKind = 'site' | 'dp' | 'branch';

export const siteCodePattern: RegExp = /^[A-Z][A-Z0-9]{2}$/;
export const nodeNamePattern: RegExp = /^[A-Z0-9][A-Z0-9-]{0,14}$/;

export function isSiteCode(text: string): text is SiteCode {
  return siteCodePattern.test(text);
}

export function isNodeName(text: string): text is NodeName {
  return nodeNamePattern.test(text);
}
