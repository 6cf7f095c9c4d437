import type { KnipConfig } from 'knip';

/** Unused files, exports and dependencies. What a workspace's `exports` name is used by definition. */
const config: KnipConfig = {
  ignoreExportsUsedInFile: true,
  workspaces: {
    '.': { entry: ['tools/*.mjs'] },
    // Loaded by the page's HTML as it is.
    'apps/web': { entry: ['public/theme.js'] },
    // Bundled for a browser by their tests.
    'packages/client': { entry: ['test/*-page.ts', 'test/dist-suite.ts'] },
    'packages/react': { entry: ['example/app.tsx', 'test/page.tsx'] },
    // Found on the search path or absent: a sandbox is the machine's.
    'packages/agents': { entry: ['src/bin/*.ts'] },
    'packages/log': { entry: ['src/bin/*.ts'] },
    // A second Node, which is run and not imported (`node20.ts`); a disk that can be full, which only Linux can mount.
    'packages/testing': {
      entry: ['src/bin/*.ts'],
      ignoreDependencies: ['node'],
      ignoreBinaries: ['mount', 'umount'],
    },
  },
};

export default config;
