// What tables call: the ground of a cell by its value, and where the order of the rows goes.
window.dashAgGridFunctions = window.dashAgGridFunctions || {};

// From 0 to 1.
window.dashAgGridFunctions.shade = (value) => {
  if (typeof value !== "number") return null;
  const share = Math.max(0, Math.min(1, value));
  return {
    backgroundColor: `color-mix(in srgb, var(--accent) ${Math.round(38 * share)}%, transparent)`,
  };
};

// The order that a reader has given a table goes to the address, `table.column.way` a column, beside
// those of the page's other tables. What comes from the address is not the reader's.
window.dashAgGridFunctions.sorted = ({ api, source }, table) => {
  if (source !== "uiColumnSorted") return;
  const query = new URLSearchParams(location.search);
  const others = (query.get("sort") || "").split(",").filter((s) => s && !s.startsWith(`${table}.`));
  const own = api.getColumnState().filter(({ sort }) => sort)
    .sort((a, b) => a.sortIndex - b.sortIndex)
    .map(({ colId, sort }) => `${table}.${colId}.${sort}`);
  const all = [...others, ...own];
  if (all.length) query.set("sort", all.join(","));
  else query.delete("sort");
  const search = query.toString();
  window.lake.go(location.pathname + (search ? `?${search}` : ""));
};
