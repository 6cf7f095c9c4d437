/**
 * Copying. A page that was opened over plain http from another device has no `navigator.clipboard`; there a selection is
 * made and copied as a person would.
 */
export async function copyText(text: string): Promise<boolean> {
  if ('clipboard' in navigator && isSecureContext) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Refused, for example because the page has no focus: the old way may still work.
    }
  }
  return copyBySelection(text);
}

function copyBySelection(text: string): boolean {
  const focused = document.activeElement;
  const area = document.createElement('textarea');
  area.className = 'visually-hidden';
  area.value = text;
  document.body.append(area);
  area.select();
  const copied = document.execCommand('copy');
  area.remove();
  if (focused instanceof HTMLElement) focused.focus();
  return copied;
}
