// The ground of a table's cell by its value, from 0 to 1.
window.dashAgGridFunctions = window.dashAgGridFunctions || {};
window.dashAgGridFunctions.shade = (value) => {
  if (typeof value !== "number") return null;
  const share = Math.max(0, Math.min(1, value));
  return {
    backgroundColor: `color-mix(in srgb, var(--accent) ${Math.round(38 * share)}%, transparent)`,
  };
};
