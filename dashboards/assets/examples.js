// Examples of a feature by interval: its value, where it stands, and the text as a strip.
(() => {
  const { make } = window.lake;
  window.lake.kinds.examples = (element, { sections }) => {
    const parts = document.createDocumentFragment();
    for (const { title, about, examples } of sections) {
      const section = make(parts, "section");
      const heading = make(section, "h3", "", title);
      if (about) make(heading, "small", "", ` ${about}`);
      for (const { value, place, href, strip } of examples) {
        const row = make(section, "div", "example");
        make(row, "span", "value", value);
        window.lake.kinds.strip(make(row, "div", "strip"), strip);
        const link = make(row, "a", "where", place);
        link.href = href;
        link.dataset.inside = "";
      }
    }
    element.replaceChildren(parts);
  };
})();
