/**
 * A terminal of the gateway's machine, drawn by xterm. Loaded when the first one is opened: it is larger than the rest of the page.
 *
 * 1. The tab's own terminal is taken up again after a reload or when the panel was closed; it is another one only where that has ended.
 * 2. xterm is given the next bytes when it has drawn the last ones, so that a program that prints without end is slowed down, not the page.
 */
import { FitAddon } from '@xterm/addon-fit';
import { Terminal as Xterm } from '@xterm/xterm';
import '@xterm/xterm/css/xterm.css';
import { FaultError, fetchTransport, TerminalClient, type Terminal, type TerminalSize } from '@holdfast/client';
import { faultText } from '../session/explain.ts';
import { gatewayAddress } from '../shell/addresses.ts';

const FONT_PX = 13;
const MINE = 'holdfast:terminal';

/** Until `signal` aborts. `tell` hears how it stands, in words. Never rejects. */
export async function showTerminal(
  place: HTMLElement,
  signal: AbortSignal,
  tell: (text: string) => void,
): Promise<void> {
  const style = getComputedStyle(place);
  // Cells are measured once, when it is opened.
  await document.fonts.load(`${FONT_PX}px ${style.fontFamily}`).catch(() => []);
  if (signal.aborted) return;
  const xterm = new Xterm({
    fontFamily: style.fontFamily,
    fontSize: FONT_PX,
    theme: { background: style.backgroundColor, foreground: style.color, cursor: style.color },
  });
  const fit = new FitAddon();
  xterm.loadAddon(fit);
  xterm.open(place);
  fit.fit();
  const fitter = new ResizeObserver(() => fit.fit());
  fitter.observe(place);
  xterm.focus();
  const transport = fetchTransport();
  try {
    const terminal = await find(new TerminalClient({ baseUrl: gatewayAddress(), transport }), xterm);
    signal.addEventListener('abort', () => terminal.detach());
    if (signal.aborted) return terminal.detach();
    await attend(terminal, xterm, tell);
  } catch (error) {
    if (!signal.aborted) tell(error instanceof FaultError ? faultText(error.fault) : String(error));
  } finally {
    // What it printed last is read after its end.
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve));
    fitter.disconnect();
    xterm.dispose();
    transport.close();
  }
}

/** Rule 1. */
async function find(terminals: TerminalClient, { cols, rows }: TerminalSize): Promise<Terminal> {
  const known = await terminals.list();
  const mine = known.find(
    ({ terminalId, state }) => terminalId === sessionStorage.getItem(MINE) && state === 'running',
  );
  if (mine === undefined) {
    const opened = await terminals.open({ cols, rows });
    sessionStorage.setItem(MINE, opened.terminalId);
    return opened;
  }
  const attached = terminals.attach(mine.terminalId);
  void attached.resize({ cols, rows }).catch(() => {});
  return attached;
}

async function attend(terminal: Terminal, xterm: Xterm, tell: (text: string) => void): Promise<void> {
  const listeners = [
    xterm.onData((text) => void terminal.write(text).catch(() => {})),
    xterm.onBinary((text) => void terminal.write(Uint8Array.from(text, (sign) => sign.charCodeAt(0))).catch(() => {})),
    xterm.onResize((size) => void terminal.resize(size).catch(() => {})),
  ];
  try {
    tell('');
    for await (const { bytes } of terminal) await new Promise<void>((resolve) => xterm.write(bytes, resolve)); // Rule 2.
    const { exitCode, signal } = await terminal.exit;
    tell(signal === null ? `It ended with ${exitCode}` : `It was ended by ${signal}`);
  } finally {
    for (const listener of listeners) listener.dispose();
  }
}
