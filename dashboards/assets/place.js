// Where a reader was: what a page shows is kept under a name, and where an address leaves it open,
// the reader is taken to it (in place of that address, so that Back does not come here again).
(() => {
  const PREFIX = "circuit-lake-place ";
  window.lake = window.lake || {};
  window.lake.kinds = window.lake.kinds || {};
  window.lake.kinds.place = (element, { name, key, value, open, among }) => {
    let kept = null;
    try {
      kept = localStorage.getItem(PREFIX + name);
      if (!open) localStorage.setItem(PREFIX + name, value);
    } catch { return; } // a browser that keeps nothing
    if (!open || kept === null || kept === value || !among.includes(kept)) return;
    const query = new URLSearchParams(location.search);
    query.set(key, kept);
    history.replaceState({}, "", `${location.pathname}?${query}`);
    window.dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
  };
})();
