// How a study was made: a lane a kind of data, a box an asset with its tables.
(() => {
  const { make } = window.lake;
  const box = (parent, { name, age, tables, state, said, href, tip }) => {
    const outer = make(parent, "div", `box ${state}`);
    outer.dataset.tip = tip;
    if (!href) outer.tabIndex = 0;
    const inner = href ? make(outer, "a") : outer;
    if (href) Object.assign(inner, { href }).dataset.inside = "";
    const head = make(inner, "div");
    make(head, "b", "", name);
    make(head, "span", "", age);
    const rows = make(inner, "div", "rows");
    for (const [table, count] of tables) {
      make(rows, "span", "", count);
      make(rows, "span", "", table);
    }
    make(inner, "span", "state", said);
  };
  window.lake.kinds.flow = (element, { lanes }) => {
    const reached = () => [...element.querySelectorAll("a, [tabindex]")];
    const focused = reached().indexOf(document.activeElement);
    element.replaceChildren();
    for (const [name, boxes] of lanes) {
      const lane = make(element, "div", "lane");
      make(lane, "h3", "", name);
      const inside = make(lane, "div", "boxes");
      boxes.forEach((one) => box(inside, one));
    }
    reached()[focused]?.focus({ preventScroll: true });
  };
})();
