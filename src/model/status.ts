/**
 * Status messages: what an operator of ConfigMgr knows by number. Ids below 10000 are theirs, kept where public sources
 * verify id and meaning (facts §18.3); those from 30000 on are ours.
 */
export type Severity = 'info' | 'warning' | 'error';

export const statusCatalog = {
  2300: { severity: 'info', meaning: 'distribution manager begins to process a package' },
  2301: { severity: 'info', meaning: 'distribution manager successfully processed a package' },
  2302: { severity: 'error', meaning: 'distribution manager failed to process a package' },
  2330: { severity: 'info', meaning: 'a package was distributed to a distribution point' },
  2333: { severity: 'info', meaning: 'a payload is prepared for a destination' },
  2376: { severity: 'info', meaning: 'a snapshot of a package source was created' },
  4400: { severity: 'info', meaning: 'despooler stored a received package' },
  30001: { severity: 'info', meaning: 'a package version was installed at a child site' },
  30002: { severity: 'info', meaning: 'the source of a package did not change' },
  30003: { severity: 'warning', meaning: 'names in a package cannot be held by every system' },
  30004: { severity: 'warning', meaning: 'a destination holds less than it confirmed; it is planned anew' },
  30005: { severity: 'error', meaning: 'despooler refused a received package' },
  30006: { severity: 'error', meaning: 'a job was parked and waits for a person' },
  30007: { severity: 'warning', meaning: 'the database was damaged, set aside and rebuilt from disk' },
  30011: { severity: 'error', meaning: 'a destination holds another tree under a version number of ours' },
  30010: { severity: 'error', meaning: 'a content of the library was found missing or damaged' },
  30009: { severity: 'error', meaning: 'a destination holds a newer version than this site: this site lost something' },
  30008: { severity: 'info', meaning: 'a branch distribution point pulled a package version' },
} as const satisfies Record<number, { severity: Severity; meaning: string }>;

export type StatusId = keyof typeof statusCatalog;
