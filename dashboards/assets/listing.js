// Tables that the server has sorted and cut: rows of text, links, small histograms and bars.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const WIDTH = 96, HEIGHT = 18; // of a histogram, px

  const { make } = window.lake;
  const link = (parent, text, href) => {
    const made = make(parent, "a", "", text);
    made.href = href;
    made.dataset.inside = "";
    return made;
  };

  const histogram = (parent, { bars, colour, tip }) => {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    svg.setAttribute("class", "spark");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", tip);
    svg.dataset.tip = tip;
    const step = WIDTH / Math.max(1, bars.length);
    const path = document.createElementNS(SVG, "path");
    const drawn = bars.map((share, place) => {
      const height = share ? Math.max(1, share * HEIGHT) : 0;
      return `M${place * step},${HEIGHT}v${-height}h${step * 0.86}v${height}z`;
    });
    path.setAttribute("d", drawn.join(""));
    path.setAttribute("fill", colour);
    svg.append(path);
    parent.append(svg);
  };

  const fill = (td, cell) => {
    if (typeof cell === "string") td.textContent = cell;
    else if (cell.href) link(td, cell.text, cell.href);
    else if (cell.bars) histogram(td, cell);
    else {
      const bar = make(td, "span", "share");
      bar.style.width = `${100 * cell.share}%`;
      bar.style.backgroundColor = cell.colour;
      make(td, "span", "", cell.text);
      td.classList.add("shared");
    }
  };

  const heading = (row, column) => {
    const th = make(row, "th", column.kind);
    th.scope = "col";
    if (column.width) th.style.width = column.width;
    if (column.sorted) th.setAttribute("aria-sort", column.sorted);
    const name = column.href ? link(th, column.name, column.href) : make(th, "span", "", column.name);
    if (column.tip) name.dataset.tip = column.tip;
    if (column.tip && !column.href) Object.assign(name, { className: "term", tabIndex: 0 });
    if (column.unit) make(th, "small", "", column.unit);
  };

  window.lake.kinds.listing = (element, { name, columns, rows }) => {
    const focused = [...element.querySelectorAll("a")].indexOf(document.activeElement);
    const table = document.createElement("table");
    table.className = columns.some(({ width }) => width) ? "plain fixed" : "plain";
    table.setAttribute("aria-label", name);
    const head = make(make(table, "thead"), "tr");
    columns.forEach((column) => heading(head, column));
    const body = make(table, "tbody");
    for (const cells of rows) {
      const row = make(body, "tr");
      cells.forEach((cell, place) => {
        const td = make(row, "td", columns[place].kind);
        fill(td, cell);
        if (columns[place].kind === "wide" && td.textContent) td.title = td.textContent;
      });
    }
    element.replaceChildren(table);
    const links = element.querySelectorAll("a");
    if (focused >= 0 && links[focused]) links[focused].focus({ preventScroll: true });
  };
})();
