// Where the nodes of a circuit stand: columns are positions, rows are sites, and in a cell nodes go
// from the strongest on, line by line. A closed group stands in its strongest member's place.
(() => {
  const STEP = 18, WIDEST = 34, GUTTER = 66, TOP = 40, BOTTOM = 30, ROW = 26, MARGIN = 12;
  const CHARACTER = 7.2; // px of a group's name, about
  const LETTER = 6.8, BESIDE = 6; // px of a token's letter, and around a token
  const SHOWN = 9, LINES = 5, PART = 0.45; // of a token, of a cell, of the width: see columnsOf
  const SLANT = 15, LONGEST = 14; // px from one slanted token to the next, letters of one
  const ERROR = 0.1; // px, of rounding

  const clipped = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
  const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);

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
      const said = window.lake.circuit.signed(effect, 3);
      const tip = `${group.name}\n${group.members.length} nodes, effect ${said}`;
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

  // What the cells of a column take in so many lines each.
  const breadth = (column, lines) => Math.max(...column.map((items) => {
    const each = items.map((item) => item.width);
    return each.length && MARGIN + Math.max(...each, STEP * Math.ceil(sum(each) / lines / STEP));
  }));

  // Columns as wide as their tokens and their most crowded cells need: these in as few lines as the
  // width allows, the same number in all columns. All tokens are slanted where those without nodes
  // would take more than their PART of the width, and leave the nodes too little for LINES.
  const columnsOf = (graph, cells, width) => {
    const free = width - GUTTER;
    const columns = graph.columns.map((_, column) => cells.map((row) => row[column]));
    const wanted = graph.columns.map(({ text }) => BESIDE + LETTER * Math.min(text.length, SHOWN));
    const held = (lines) => columns.map((column) => breadth(column, lines));
    const few = held(LINES);
    const room = free - sum(few.map((size, place) => size && Math.max(size, wanted[place])));
    const bare = sum(wanted.filter((_, place) => !few[place]));
    const slanted = bare > Math.max(PART * free, room) + ERROR;
    const words = slanted ? wanted.map(() => SLANT) : wanted;
    const needed = (lines) => held(lines).map((size, place) => Math.max(size, words[place]));
    const tallest = Math.max(...cells.flat().map((items) => items.length));
    let lines = 1;
    while (lines < tallest && sum(needed(lines)) > free + ERROR) lines += 1;
    const sizes = needed(lines), scale = free / sum(sizes);
    let right = GUTTER;
    return sizes.map((size, place) => {
      const own = size * scale;
      right += own;
      const fits = slanted ? LONGEST : Math.max(1, Math.floor((own - 2) / LETTER));
      return { left: right - own, width: own, text: clipped(graph.columns[place].text, fits), slanted };
    });
  };

  // How much lower slanted tokens reach than level ones.
  const depth = (columns) => Math.max(...columns.map(({ text, slanted }) => (
    slanted ? LETTER * text.length * Math.SQRT1_2 - BESIDE : 0)));

  // Places the items of a cell, further apart where there is room; the number of lines.
  const fill = (items, { left, width }, top) => {
    let x = 0, line = 0;
    const room = Math.max(STEP, width - MARGIN);
    const total = sum(items.map((item) => item.width));
    const apart = Math.max(0, Math.min(WIDEST - STEP, (room - total) / items.length));
    for (const item of items) {
      if (x > 0 && x + item.width > room + ERROR) { x = 0; line += 1; }
      item.x = left + MARGIN / 2 + x + (item.width + apart) / 2;
      item.y = top + 5 + line * STEP + STEP / 2;
      x += item.width + apart;
    }
    return line + 1;
  };

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
    const height = top + BOTTOM + depth(columns);
    return { ...found, edges, columns, rows, metric, width, height, foot: top, gutter: GUTTER };
  };
})();
