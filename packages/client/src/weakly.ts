/** For callbacks that outlive what they are about and must not hold it (B7): they use it where it is still there. */
export function weakly<T extends object>(target: T): (use: (it: T) => void) => void {
  const ref = new WeakRef(target);
  return (use) => {
    const it = ref.deref();
    if (it !== undefined) use(it);
  };
}
