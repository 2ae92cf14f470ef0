// The graph of a circuit. The address says what is picked, pinned, grouped and left out; a click is
// shown at once and then told to the address. Texts go in by textContent alone.
(() => {
  const SPACE = "http://www.w3.org/2000/svg";
  const graphs = () => [...document.querySelectorAll("[data-draw=circuit]")].filter((e) => e.circuit);
  const names = (text) => (text || "").split("~").filter(Boolean);
  const signed = (value, digits) => `${value < 0 ? "−" : "+"}${Math.abs(value).toPrecision(digits)}`;

  const make = (parent, name, attributes = {}, text) => {
    const made = document.createElementNS(SPACE, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  };

  // Goes to an address; while one thing is adjusted, in place of where that has led before.
  const go = (url, adjusted) => {
    if (!adjusted) return window.lake.go(url);
    const again = history.state && history.state.adjusted === adjusted;
    history[again ? "replaceState" : "pushState"]({ adjusted }, "", url);
    return window.dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
  };

  // Writes keys of the address; an empty value takes its key out.
  const change = (values, adjusted) => {
    const query = new URLSearchParams(location.search);
    for (const [key, value] of Object.entries(values)) {
      if (value === "" || value === null) query.delete(key);
      else query.set(key, value);
    }
    preview({
      ..."node" in values ? { node: values.node } : {},
      ..."pinned" in values ? { pinned: names(values.pinned) } : {},
    });
    go(`${location.pathname}?${query}`, adjusted);
  };
  const preview = (view) => graphs().forEach((e) => draw(e, { ...e.circuit.view, ...view }));
  const state = (key) => new URLSearchParams(location.search).get(key) || "";
  const pick = (key) => change({ node: state("node") === key ? "" : key });
  const pin = (key) => {
    const pinned = names(state("pinned"));
    const left = pinned.filter((name) => name !== key);
    change({ pinned: (left.length < pinned.length ? left : [...pinned, key]).join("~") });
  };

  const diamond = (r) => `M0 ${-r}L${r} 0L0 ${r}L${-r} 0Z`;
  const triangle = (r) => `M0 ${-r}L${r} ${0.8 * r}L${-r} ${0.8 * r}Z`;

  const drawFrame = (svg, graph, layout) => {
    layout.rows.forEach((row, place) => {
      const { text, colour } = graph.rows[place], middle = row.top + row.height / 2;
      make(svg, "line", { class: "rule", x1: 0, x2: layout.width, y1: row.top, y2: row.top });
      make(svg, "rect", { x: 0, y: row.top + 5, width: 3, height: row.height - 10, fill: colour, rx: 1.5 });
      make(svg, "text", { class: "site", x: 10, y: middle + 4 }, text);
    });
    const { foot } = layout;
    make(svg, "line", { class: "rule", x1: 0, x2: layout.width, y1: foot, y2: foot });
    layout.columns.forEach((column, place) => {
      const { tip } = graph.columns[place];
      const { left, slanted } = column, middle = left + column.width / 2;
      make(svg, "line", { class: "column", x1: left, x2: left, y1: 40, y2: foot + (slanted ? 6 : 26) });
      const at = slanted
        ? { class: "word slanted", transform: `translate(${middle + 4} ${foot + 13}) rotate(-45)` }
        : { class: "word", x: middle, y: foot + 17 };
      make(svg, "text", { ...at, "data-tip": tip }, column.text);
    });
  };

  const drawEdges = (svg, graph, layout, shown) => {
    const widest = Math.max(1e-12, ...layout.edges.map((edge) => Math.abs(edge[2])));
    const faint = shown.length > 120 ? 0.1 : 0.25;
    const group = make(svg, "g", { class: "edges" });
    for (const [from, to, weight] of [...shown].reverse()) { // the strongest on top
      const a = layout.items[from], b = to < 0 ? layout.metric : layout.items[to];
      const size = Math.abs(weight) / widest, middle = (a.y + b.y) / 2;
      const path = make(group, "path", {
        d: `M${a.x.toFixed(1)} ${a.y.toFixed(1)}C${a.x.toFixed(1)} ${middle.toFixed(1)} ` +
          `${b.x.toFixed(1)} ${middle.toFixed(1)} ${b.x.toFixed(1)} ${b.y.toFixed(1)}`,
        fill: "none", stroke: weight > 0 ? graph.colours.positive : graph.colours.negative,
        "stroke-width": (0.6 + 4.4 * Math.sqrt(size)).toFixed(2),
        "stroke-opacity": (faint + (0.85 - faint) * Math.sqrt(size)).toFixed(2),
      });
      path.ends = [a.key, b.key];
    }
  };

  const drawNode = (parent, item, graph, strongest, marks) => {
    const node = make(parent, "g", {
      class: `node${marks}`, transform: `translate(${item.x.toFixed(1)} ${item.y.toFixed(1)})`,
      "data-node": item.key, "data-tip": item.tip, "aria-label": item.tip.replaceAll("\n", ", "),
      role: "button", tabindex: -1,
    });
    const fill = item.effect > 0 ? graph.colours.positive : graph.colours.negative;
    if (item.box) {
      const box = { x: -item.width / 2 + 2, y: -8, width: item.width - 4, height: 16, rx: 4 };
      make(node, "rect", { ...box, class: "halo", fill: "none" });
      make(node, "rect", { ...box, fill });
      make(node, "text", { class: "name", y: 4, fill: "#ffffff" }, item.name);
    } else if (item.key === "y") {
      make(node, "path", { d: diamond(14), class: "halo", fill: "none" });
      make(node, "path", { d: diamond(10), class: "metric" });
      make(node, "text", { class: "site", x: 18, y: 4 }, "y");
    } else {
      const r = 2.6 + 5.4 * Math.sqrt(Math.abs(item.effect) / strongest);
      make(node, "circle", { r: Math.min(r + 2.5, 10), class: "halo", fill: "none" });
      make(node, "circle", { r: 9, fill: "transparent" }); // easier to hit
      const look = item.alone ? { fill, stroke: fill, class: "alone" } : { fill };
      if (item.error) make(node, "path", { d: triangle(r + 1), ...look });
      else make(node, "circle", { r: r.toFixed(2), ...look });
      if (item.common) make(node, "circle", { r: Math.max(1.2, r / 3).toFixed(2), class: "common" });
    }
    return node;
  };

  // Boxes around the members of an open group, as large as they can be without a node of another.
  const boxesOf = (members, others) => {
    const boxes = [];
    const order = [...members].sort((a, b) => a.column - b.column || a.y - b.y || a.x - b.x);
    for (const { x, y, column } of order) {
      const own = { column, left: x - 11, right: x + 11, top: y - 11, bottom: y + 11 };
      const last = boxes.at(-1);
      const joined = last && { column, left: Math.min(last.left, own.left),
        right: Math.max(last.right, own.right), top: last.top, bottom: own.bottom };
      const clear = joined && last.column === column && !others.some((item) =>
        item.x > joined.left && item.x < joined.right && item.y > joined.top && item.y < joined.bottom);
      if (clear) boxes[boxes.length - 1] = joined;
      else boxes.push(own);
    }
    return boxes;
  };
  const drawOutlines = (svg, layout, view) => {
    if (!view.open) return;
    for (const group of view.groups) {
      const members = new Set(group.members.map((member) => layout.items[layout.of[member]]));
      const shown = layout.items.filter((item) => item.shown);
      const [own, others] = [true, false].map((is) => shown.filter((item) => members.has(item) === is));
      boxesOf(own, others).forEach(({ left, right, top, bottom }, place) => {
        make(svg, "rect", { class: "outline", x: left, y: top, rx: 6, width: right - left, height: bottom - top });
        if (!place) make(svg, "text", { class: "outline-name", x: left + 2, y: top - 3 }, group.name);
      });
    }
  };

  const draw = (element, view) => {
    const { graph, svg, caption } = element.circuit;
    const focused = svg.contains(document.activeElement) && document.activeElement.dataset.node;
    const layout = window.lake.layout(graph, view, Math.max(320, element.clientWidth));
    Object.assign(element.circuit, { view, layout });
    svg.setAttribute("viewBox", `0 0 ${layout.width} ${layout.height}`);
    svg.setAttribute("width", layout.width);
    svg.setAttribute("height", layout.height);
    svg.replaceChildren();

    const all = [...layout.items, layout.metric];
    const chosen = new Set([view.node, ...view.pinned]);
    const held = all.some((item) => chosen.has(item.key));
    const key = (place) => (place < 0 ? "y" : layout.items[place].key);
    const passing = (held
      ? layout.edges.filter(([from, to]) => chosen.has(key(from)) || chosen.has(key(to)))
      : layout.edges);
    const shown = passing.slice(0, graph.most);
    const near = new Set(shown.flatMap(([from, to]) => [key(from), key(to)]));

    drawFrame(svg, graph, layout);
    drawEdges(svg, graph, layout, shown);
    drawOutlines(svg, layout, view);
    const nodes = make(svg, "g");
    const strongest = Math.max(1e-12, ...graph.nodes.map((node) => Math.abs(node.effect)));
    for (const item of all) {
      if (!item.shown) continue;
      const marks = (item.key === view.node ? " picked" : "") +
        (view.pinned.includes(item.key) ? " pinned" : "") +
        (held && !near.has(item.key) && !chosen.has(item.key) ? " far" : "");
      drawNode(nodes, item, graph, strongest, marks);
    }
    const find = (wanted) => [...nodes.children].find((node) => node.dataset.node === wanted);
    const first = find(focused) || find(view.node) || nodes.firstElementChild;
    first.setAttribute("tabindex", 0);
    if (focused && find(focused)) find(focused).focus({ preventScroll: true });
    const count = (number) => number.toLocaleString("en");
    const drawn = layout.items.filter((item) => item.shown).length;
    caption.textContent = `${count(drawn)} of ${count(graph.total.nodes)} nodes · ` +
      (shown.length < passing.length ? "the strongest " : "") +
      `${count(shown.length)} of ${count(graph.total.edges)} edges` +
      (held ? ", those of what is picked and pinned" : "");
  };

  // The nearest node in the direction of an arrow: along the row, or in the next row that has one.
  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const beside = (layout, key, [across, down]) => {
    const items = [...layout.items, layout.metric].filter((item) => item.shown);
    const from = items.find((item) => item.key === key);
    const ahead = items.filter((item) => (across
      ? (item.x - from.x) * across > 0.5 && Math.abs(item.y - from.y) < 4
      : (item.y - from.y) * down > 4));
    const far = (item) => (across
      ? Math.abs(item.x - from.x) : Math.abs(item.x - from.x) + 20 * Math.abs(item.y - from.y));
    return ahead.sort((a, b) => far(a) - far(b))[0];
  };

  const listen = (element, svg) => {
    svg.addEventListener("click", (event) => {
      const node = event.target.closest(".node");
      if (!node) return state("node") && change({ node: "" });
      node.focus({ preventScroll: true });
      return (event.shiftKey || event.ctrlKey || event.metaKey ? pin : pick)(node.dataset.node);
    });
    svg.addEventListener("keydown", (event) => {
      const node = event.target.closest(".node");
      if (!node) return;
      if (event.key === "Enter" || event.key === " ") {
        (event.shiftKey ? pin : pick)(node.dataset.node);
      } else if (ARROWS[event.key]) {
        const next = beside(element.circuit.layout, node.dataset.node, ARROWS[event.key]);
        const there = next && [...svg.querySelectorAll(".node")].find((n) => n.dataset.node === next.key);
        if (there) {
          node.setAttribute("tabindex", -1);
          there.setAttribute("tabindex", 0);
          there.focus({ preventScroll: true });
        }
      } else return;
      event.preventDefault();
      event.stopPropagation();
    });
    new ResizeObserver(() => {
      const { layout, view } = element.circuit;
      if (element.clientWidth && Math.abs(layout.width - element.clientWidth) > 1) draw(element, view);
    }).observe(element);
  };

  window.lake.kinds.circuit = (element, { graph, view }) => {
    const shape = JSON.stringify(graph);
    if (!element.circuit) {
      const svg = document.createElementNS(SPACE, "svg");
      svg.setAttribute("role", "group");
      svg.setAttribute("aria-label", "Circuit");
      const caption = document.createElement("p");
      caption.className = "quiet";
      element.replaceChildren(svg, caption);
      element.circuit = { svg, caption };
      listen(element, svg);
    }
    const known = element.circuit.shape === shape;
    if (known && JSON.stringify(element.circuit.view) === JSON.stringify(view)) return;
    Object.assign(element.circuit, { graph: known ? element.circuit.graph : graph, shape });
    draw(element, view);
  };

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !graphs().length || event.target.closest("input, [role=listbox]")) return;
    if (state("node") || state("pinned")) change({ node: "", pinned: "" });
  });
  window.lake.circuit = { graphs, change, preview, pick, pin, names, state, signed };
})();
