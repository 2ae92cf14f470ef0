// Contexts as texts, with what is said of each above it; with textContent alone.
(() => {
  window.lake = window.lake || {};
  window.lake.kinds = window.lake.kinds || {};
  const make = (tag, name, text = "") => {
    const element = document.createElement(tag);
    element.className = name;
    element.textContent = text;
    return element;
  };
  const told = ({ text, href, tip }) => {
    const part = make(href ? "a" : "span", "", text);
    if (href) { part.href = href; part.dataset.inside = ""; }
    if (tip) { part.dataset.tip = tip; part.tabIndex = 0; }
    return part;
  };
  const drawn = ({ said, tokens, marked, breaks }) => {
    const box = make("div", "context");
    const line = make("div", "said");
    line.append(...said.map(told));
    const text = make("div", "strip");
    window.lake.kinds.strip(text, {
      tokens, marked, breaks, background: [], underline: [], tips: [],
    });
    box.append(line, text);
    return box;
  };
  window.lake.kinds.contexts = (element, { contexts, none }) => {
    const parts = contexts.map(drawn);
    element.replaceChildren(...(parts.length ? parts : [make("p", "quiet", none)]));
  };
})();
