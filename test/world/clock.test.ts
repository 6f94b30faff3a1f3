import { realClock } from '../../src/world/clock.ts';
import { clockConformance } from '../conformance/clock.ts';

clockConformance('realClock', async () => ({ clock: realClock(), [Symbol.asyncDispose]: async () => {} }));
