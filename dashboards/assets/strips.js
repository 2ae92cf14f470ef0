// Texts as strips of tokens, each coloured by a value and underlined by another. Drawn here, with
// textContent alone: a component a token takes Dash a minute for a long document.
(() => {
  const sighted = new WeakMap(); // strips and what the page was scrolled to in them
  const sight = (element, name) => {
    if (!name || sighted.get(element) === name) return;
    sighted.set(element, name);
    requestAnimationFrame(() => {
      element.querySelector(".marked")?.scrollIntoView({ block: "nearest" });
    });
  };

  window.lake.kinds.strip = (element, strip) => {
    const parts = document.createDocumentFragment();
    const marked = new Set(strip.marked);
    strip.tokens.forEach((text, place) => {
      const token = document.createElement("span");
      token.textContent = text;
      token.className = "token";
      if (marked.has(place)) token.classList.add("marked");
      if (strip.breaks && text.endsWith("↵")) token.classList.add("breaks");
      if (strip.background[place]) token.style.backgroundColor = strip.background[place];
      if (strip.underline[place]) token.style.boxShadow = `inset 0 -2px 0 ${strip.underline[place]}`;
      if (strip.tips[place]) token.dataset.tip = strip.tips[place];
      parts.append(token);
    });
    element.replaceChildren(parts);
    sight(element, strip.inSight);
  };
})();
