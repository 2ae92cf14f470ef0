// Light or dark: the system's choice unless the reader has made one, which this browser keeps.
// Loaded in the head, so that nothing is drawn in the other colours first.
(() => {
  const root = document.documentElement;
  const next = { auto: "light", light: "dark", dark: "auto" };
  const kept = () => {
    try { return localStorage.getItem("circuit-lake-theme"); } catch { return null; }
  };
  root.dataset.theme = kept() in next ? kept() : "auto";
  document.addEventListener("click", (event) => {
    if (!event.target.closest("#theme")) return;
    root.dataset.theme = next[root.dataset.theme];
    try { localStorage.setItem("circuit-lake-theme", root.dataset.theme); } catch { /* not kept */ }
  });
})();
