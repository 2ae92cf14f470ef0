// Where the nodes of a circuit stand: columns are positions, rows are sites, and in a cell nodes go
// from the strongest on, line by line. A closed group stands in its strongest member's place.
(() => {
  const STEP = 18, WIDEST = 34, GUTTER = 66, TOP = 40, BOTTOM = 30, EMPTY = 46, ROW = 26;
  const CHARACTER = 7.2; // px of a group's name, about

  const clipped = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

  // What is drawn: nodes, and groups in place of theirs. of: the item of each node.
  const itemsOf = (graph, view) => {
    const items = [], of = new Array(graph.nodes.length).fill(-1);
    const closed = view.open ? [] : view.groups.filter((group) => group.members.length);
    for (const group of closed) {
      const first = graph.nodes[Math.min(...group.members)]; // nodes come strongest first
      const name = clipped(group.name, 24);
      for (const member of group.members) of[member] = items.length;
      const shown = group.members.filter((m) => Math.abs(graph.nodes[m].effect) >= view.nodes);
      const effect = shown.reduce((sum, m) => sum + graph.nodes[m].effect, 0);
      const tip = `${group.name}\n${group.members.length} nodes, effect ${effect.toPrecision(3)}`;
      const width = Math.max(2 * STEP, name.length * CHARACTER + 14);
      items.push({ ...first, key: group.key, name, effect, tip, width, box: true, error: false,
        common: false, shown: shown.length > 0 });
    }
    graph.nodes.forEach((node, place) => {
      if (of[place] >= 0) return;
      of[place] = items.length;
      const shown = Math.abs(node.effect) >= view.nodes;
      items.push({ ...node, key: node.name, width: STEP, box: false, shown });
    });
    return { items, of };
  };

  // Edges between what is drawn, those of a group summed: [from, to, weight], strongest first; to
  // is -1 at the metric.
  const edgesOf = (graph, view, { items, of }) => {
    const summed = new Map();
    for (const [up, down, weight] of graph.edges) {
      if (Math.abs(weight) < view.edges) continue;
      const from = of[up], to = down < 0 ? -1 : of[down];
      if (from === to || !items[from].shown || (to >= 0 && !items[to].shown)) continue;
      if (hidden(graph, view, up) || (down >= 0 && hidden(graph, view, down))) continue;
      const key = from * (items.length + 1) + to;
      const known = summed.get(key);
      if (known) known[2] += weight;
      else summed.set(key, [from, to, weight]);
    }
    return [...summed.values()].sort((a, b) => Math.abs(b[2]) - Math.abs(a[2]));
  };
  const hidden = (graph, view, place) => Math.abs(graph.nodes[place].effect) < view.nodes;

  // Widths of the columns: of empty ones what a short token takes, of the others a share that
  // grows with the busiest cell, though slower than that.
  const columnsOf = (graph, cells, width) => {
    const busiest = graph.columns.map((_, column) =>
      Math.max(0, ...cells.map((row) => row[column].reduce((sum, item) => sum + item.width, 0))));
    const free = width - GUTTER;
    const empty = Math.min(EMPTY, free / (graph.columns.length + 3));
    const least = busiest.map((size) => (size ? empty + STEP : empty));
    const rest = Math.max(0, free - least.reduce((sum, size) => sum + size, 0));
    const parts = busiest.map((size) => size ** 0.7);
    const total = parts.reduce((sum, part) => sum + part, 0) || 1;
    let left = GUTTER;
    return least.map((size, column) => {
      const wide = size + (rest * parts[column]) / total;
      left += wide;
      return { left: left - wide, width: wide };
    });
  };

  // Places the items of a cell, further apart where there is room; the number of lines.
  const fill = (items, { left, width }, top) => {
    let x = 0, line = 0;
    const room = Math.max(STEP, width - 12);
    const total = items.reduce((sum, item) => sum + item.width, 0);
    const apart = Math.max(0, Math.min(WIDEST - STEP, (room - total) / items.length));
    for (const item of items) {
      if (x > 0 && x + item.width > room) { x = 0; line += 1; }
      item.x = left + 6 + x + (item.width + apart) / 2;
      item.y = top + 5 + line * STEP + STEP / 2;
      x += item.width + apart;
    }
    return line + 1;
  };

  window.lake = window.lake || {};
  window.lake.layout = (graph, view, width) => {
    const found = itemsOf(graph, view);
    const cells = graph.rows.map(() => graph.columns.map(() => []));
    for (const item of found.items) cells[item.row][item.column].push(item);
    const columns = columnsOf(graph, cells, width);
    let top = TOP;
    const rows = cells.map((row) => {
      const lines = Math.max(...row.map((items, column) => fill(items, columns[column], top)));
      const height = Math.max(ROW, lines * STEP + 12);
      top += height;
      return { top: top - height, height };
    });
    const last = columns.findLast((_, column) => cells.some((row) => row[column].length));
    const metric = { key: "y", name: "y", x: last.left + last.width / 2, y: 18, shown: true,
      tip: "y, the metric", effect: 0 };
    const edges = edgesOf(graph, view, found);
    return { ...found, edges, columns, rows, metric, width, height: top + BOTTOM, gutter: GUTTER };
  };
})();
