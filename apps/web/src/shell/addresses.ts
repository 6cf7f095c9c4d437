/** Addresses of the gateway that the page links to. Relative to `<base>`, so that a path prefix is kept. */
export const blobAddress = (hash: string): string =>
  new URL(`v1/blobs/${encodeURIComponent(hash)}`, document.baseURI).href;

/** What the client is given as `baseUrl`: without a slash at its end. */
export const gatewayAddress = (): string => new URL('.', document.baseURI).href.replace(/\/+$/, '');
