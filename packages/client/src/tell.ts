/** Every listener hears it; one that throws harms no other (R16). */
export function tell<Args extends readonly unknown[]>(
  listeners: Iterable<(...args: Args) => void>,
  onError: (error: unknown) => void,
  ...args: Args
): void {
  for (const listener of listeners) {
    try {
      listener(...args);
    } catch (error) {
      onError(error);
    }
  }
}
