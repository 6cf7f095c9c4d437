/** A command's processes, wherever they went: by its group, and by the mark in their environment. Linux alone tells. */
import { readdirSync, readFileSync } from 'node:fs';

export const MARK_NAME = 'TOOL_GUARD';

/** Living processes of the group, and those that left it but carry the mark. */
export function strays(group: number, mark: string): readonly number[] {
  if (process.platform !== 'linux') return [];
  const needle = `${MARK_NAME}=${mark}`;
  const isOurs = (pid: string): boolean => {
    try {
      // After the name, which may contain anything: state, parent, group. A zombie only waits to be counted.
      const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
      const [state, , itsGroup] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (state === 'Z' || state === 'X') return false;
      if (Number(itsGroup) === group) return true;
      return readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(needle);
    } catch {
      return false;
    }
  };
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && isOurs(name))
    .map(Number);
}
