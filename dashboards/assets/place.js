// Where a reader was among the clusters: what the page shows is kept, and an address that leaves the
// cluster open is made to say it before the server is asked. So no other cluster is shown first, and
// Back never meets an address that says less than was shown.
(() => {
  const PAGE = "/clusters", OPEN = "cluster", PREFIX = "circuit-lake-clusters ";

  const write = (query) => history.replaceState(history.state, "", `${PAGE}?${query}`);

  const restore = () => {
    const query = new URLSearchParams(location.search);
    const name = `${query.get("study") || ""} ${query.get("clustering") || ""}`;
    let kept = null;
    try { kept = localStorage.getItem(PREFIX + name); } catch { /* a browser that keeps nothing */ }
    if (location.pathname !== PAGE || query.get(OPEN) || !kept) return;
    for (const [key, value] of new URLSearchParams(kept)) query.set(key, value);
    write(query);
  };
  restore();

  let told = location.href; // to dcc's Location, which asks for nothing twice
  const tell = () => {
    if (location.href !== told) document.body.dataset.busy = ""; // until show.js has shown
    told = location.href;
  };
  // Added here, they are called before Location's own listeners, which are made later.
  window.addEventListener("_dashprivate_pushstate", () => { restore(); tell(); });
  window.addEventListener("popstate", tell);

  window.lake.kinds.place = (element, { place, names }) => {
    const kept = new URLSearchParams(place).toString();
    try {
      for (const name of names) localStorage.setItem(PREFIX + name, kept);
    } catch { /* a browser that keeps nothing */ }
    const query = new URLSearchParams(location.search);
    const meant = Object.keys(place).every((key) => [place[key], null, ""].includes(query.get(key)));
    if (location.pathname !== PAGE || query.get(OPEN) || !meant) return;
    for (const [key, value] of Object.entries(place)) query.set(key, value);
    write(query);
  };
})();
