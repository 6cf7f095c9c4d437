import { fault, FaultError } from '@holdfast/protocol/fault';
import { describeLog } from '../src/conformance.ts';
import { MemoryStore, openMemoryLog } from '../src/memory.ts';

const clock = { time: 1_700_000_000_000, now: (): number => clock.time };
const elapse = async (ms: number): Promise<void> => {
  clock.time += ms;
};
const store = new MemoryStore();

describeLog('memory', async () => openMemoryLog({ clock, store }), {
  elapse,
  reopen: async (log) => {
    await log.close();
    return openMemoryLog({ clock, store });
  },
  openSecond: async () => openMemoryLog({ clock, store }),
});

// The same store behind steps that come in any order, as the simulation uses it.
let broken = false;
const step = async (label: string): Promise<void> => {
  for (let turns = label.length % 5; turns > 0; turns -= 1) await Promise.resolve();
  if (broken && label.startsWith('append') && !label.endsWith('done')) {
    throw new FaultError(fault('storage-unavailable', 'The simulated server does not answer.'));
  }
};

describeLog('memory, step by step', async () => openMemoryLog({ clock, step, store }), {
  elapse,
  openSecond: async () => openMemoryLog({ clock, step, store }),
  breakWrites: async () => {
    broken = true;
    return async () => {
      broken = false;
    };
  },
});
