import type { KnipConfig } from 'knip';

/** Unused files, exports and dependencies. What a workspace's `exports` name is used by definition. */
const config: KnipConfig = {
  ignoreExportsUsedInFile: true,
  workspaces: {
    '.': { entry: ['tools/*.mjs'] },
    'packages/*': { entry: ['src/bin/*.ts'] },
    'apps/*': {},
    bench: { entry: ['src/run.ts'] },
  },
};

export default config;
