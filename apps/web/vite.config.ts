import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

/**
 * The page as files: no inline script or style, nothing from elsewhere, so that the gateway's policy can refuse both.
 * Addresses are relative: the gateway says by `<base>` below which prefix it is.
 */
const config: ReturnType<typeof defineConfig> = defineConfig({
  base: './',
  plugins: [react()],
  worker: { format: 'es' },
  build: {
    target: 'es2023',
    // A file of its own for everything: a data: address would need a hole in the policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 1_000,
  },
});

export default config;
