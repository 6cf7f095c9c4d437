/**
 * While `make` runs, a `<style>` element is a constructed style sheet: xterm writes its rules into such elements, which a strict policy
 * refuses, and it makes all of them when it is opened. Sheets that a script constructs are no inline styles.
 */
export function withStyleSheets(make: () => void): void {
  const createElement = document.createElement.bind(document);
  const instead = (tag: string): HTMLElement =>
    tag === 'style' ? styleElement(createElement('span')) : createElement(tag);
  Object.defineProperty(document, 'createElement', { value: instead, configurable: true });
  try {
    make();
  } finally {
    // What is the document's own hides its prototype's.
    Reflect.deleteProperty(document, 'createElement');
  }
}

function styleElement(element: HTMLElement): HTMLElement {
  const sheet = new CSSStyleSheet();
  document.adoptedStyleSheets.push(sheet);
  element.hidden = true;
  const write = (rules: string): void => sheet.replaceSync(rules);
  Object.defineProperty(element, 'textContent', { set: write });
  element.remove = () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((other) => other !== sheet);
    Element.prototype.remove.call(element);
  };
  return element;
}
