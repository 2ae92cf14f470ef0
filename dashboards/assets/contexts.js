// Contexts as texts, with what is said of each above it; with textContent alone.
(() => {
  const { make } = window.lake;
  const tell = (line, { text, href, tip }) => {
    const part = make(line, href ? "a" : "span", "", text);
    if (href) { part.href = href; part.dataset.inside = ""; }
    if (tip) { part.dataset.tip = tip; part.tabIndex = 0; }
  };
  const draw = (parent, { said, tokens, marked, breaks }) => {
    const box = make(parent, "div", "context");
    const line = make(box, "div", "said");
    said.forEach((part) => tell(line, part));
    window.lake.kinds.strip(make(box, "div", "strip"), {
      tokens, marked, breaks, background: [], underline: [], tips: [],
    });
  };
  window.lake.kinds.contexts = (element, { contexts, none }) => {
    const parts = document.createDocumentFragment();
    contexts.forEach((context) => draw(parts, context));
    if (!contexts.length) make(parts, "p", "quiet", none);
    element.replaceChildren(parts);
  };
})();
