// Before the first paint, so that a chosen theme never flashes. A file, because the page's policy allows no inline script.
try {
  const theme = localStorage.getItem('holdfast:theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {
  // No storage: the system's theme.
}
