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

// One theme for all tables: a grid whose theme is another object adds its style sheet again.
window.dashAgGridFunctions.theme = (quartz, rowHeight, headerHeight) => {
  window.lake.gridTheme ??= quartz.withParams({
    fontFamily: "inherit", fontSize: "13px", headerFontSize: "12px", headerFontWeight: 500,
    spacing: "4px", iconSize: "12px", wrapperBorder: false, wrapperBorderRadius: "0px", cellHorizontalPadding: "10px",
    rowHeight: `${rowHeight}px`, headerHeight: `${headerHeight}px`, browserColorScheme: "inherit",
    backgroundColor: "var(--surface)", chromeBackgroundColor: "var(--surface)",
    foregroundColor: "var(--text)", borderColor: "var(--rule)", accentColor: "var(--accent)",
    headerBackgroundColor: "var(--surface)", headerTextColor: "var(--text-2)",
    rowHoverColor: "var(--hover)", selectedRowBackgroundColor: "var(--picked)",
  });
  return window.lake.gridTheme;
};

// The order that a reader has given a table goes to the address, `table.column.way` a column, beside
// those of the page's other tables, and a table follows the address where it stays on its page.
(() => {
  const orders = () => (new URLSearchParams(location.search).get("sort") || "").split(",");
  const order = (api, table) => api.getColumnState().filter(({ sort }) => sort)
    .sort((a, b) => a.sortIndex - b.sortIndex)
    .map(({ colId, sort }) => `${table}.${colId}.${sort}`);

  window.dashAgGridFunctions.sorted = ({ api, source }, table) => {
    if (source !== "uiColumnSorted") return; // what comes from the address is not the reader's
    const query = new URLSearchParams(location.search);
    const others = orders().filter((sort) => sort && !sort.startsWith(`${table}.`));
    const all = [...others, ...order(api, table)];
    if (all.length) query.set("sort", all.join(","));
    else query.delete("sort");
    const search = query.toString();
    window.lake.go(location.pathname + (search ? `?${search}` : ""));
  };

  const gridOf = (table) => {
    try { return window.dash_ag_grid.getApi(table); } catch { return null; } // not made yet
  };
  const follow = (api, table) => {
    const meant = orders().filter((sort) => sort.startsWith(`${table}.`));
    if (!api || String(order(api, table)) === String(meant)) return;
    const state = meant.map((text, sortIndex) => {
      const [, colId, sort] = text.split(".");
      return { colId, sort, sortIndex };
    });
    api.applyColumnState({ state, defaultState: { sort: null } });
  };
  // A table that was asked for at another address, once it is made.
  window.lake.followOnceMade = (table) =>
    window.dash_ag_grid.getApiAsync(table)
      .then((api) => follow(api, table), () => {}); // its page was left before

  const first = () => document.querySelector(".top nav a")?.pathname; // what `/` shows
  const asked = () => (location.pathname === "/" ? first() : location.pathname);
  let page = asked();
  const turn = () => {
    if (page === asked()) document.querySelectorAll(".grid").forEach(({ id }) => follow(gridOf(id), id));
    page = asked();
  };
  window.addEventListener("_dashprivate_pushstate", turn);
  window.addEventListener("popstate", turn);
})();
