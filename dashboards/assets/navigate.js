// The address is the state of a page: controls write it, arrow keys follow its links, and dcc's
// Location, which listens for the event below, has the page shown anew.
(() => {
  const go = (url) => {
    if (url === location.pathname + location.search) return;
    history.pushState({}, "", url);
    window.dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
  };

  // A control's new value goes to the address; what has just been shown is nothing new.
  const steer = () => {
    const context = window.dash_clientside.callback_context;
    const query = new URLSearchParams(location.search);
    let changed = false;
    for (const { prop_id: property, value } of context.triggered) {
      const { key, resets } = JSON.parse(property.slice(0, property.lastIndexOf(".")));
      const text = value === null || value === undefined ? "" : String(value);
      const shown = (window.lake.shown || {})[key];
      if (text === String(shown ?? "")) continue;
      if (key === "study") [...query.keys()].forEach((k) => query.delete(k));
      if (resets) resets.split(" ").forEach((k) => query.delete(k));
      if (text === "") query.delete(key);
      else query.set(key, text);
      changed = true;
    }
    const search = query.toString();
    if (changed) go(location.pathname + (search ? `?${search}` : ""));
    return window.dash_clientside.no_update;
  };
  window.lake.go = go;
  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.lake = { ...window.dash_clientside.lake, steer };

  const plain = (e) => !(e.metaKey || e.ctrlKey || e.shiftKey || e.altKey || e.button);
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-inside]");
    if (!link || !plain(event)) return;
    event.preventDefault();
    go(link.getAttribute("href"));
  });

  const ARROWS = { ArrowLeft: "previous", ArrowRight: "next" };
  const KEEPS = "input, textarea, select, [contenteditable], [role=slider], [role=listbox], " +
    "[role=grid], [role=treegrid], .dash-dropdown, button, summary, [tabindex]"; // terms are read
  document.addEventListener("keydown", (event) => {
    const step = ARROWS[event.key];
    if (!step || !plain(event) || event.target.closest(KEEPS)) return;
    const link = document.querySelector(`[data-step=${step}] a`);
    if (link) { event.preventDefault(); link.click(); }
  });
})();
