import type { KnipConfig } from 'knip';

/** Unused files, exports and dependencies. What a workspace's `exports` name is used by definition. */
const config: KnipConfig = {
  ignoreExportsUsedInFile: true,
  workspaces: {
    '.': { entry: ['tools/*.mjs'] },
    'packages/log': { entry: ['src/bin/*.ts'] },
    'packages/testing': { entry: ['src/bin/*.ts'] },
  },
};

export default config;
