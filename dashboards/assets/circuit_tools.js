// What stands around a circuit's graph: thresholds, groups, lists of nodes, pictures as files; and
// rings around what the pointer or the focus is on, there and in the graphs.
(() => {
  const { graphs, change, preview, pick, pin, names, state, signed } = window.lake.circuit;
  const { make } = window.lake;

  // A slider over sizes, in equal ratios; at its left end nothing is left out. From taking hold of
  // it to leaving it is one adjustment, however many keys that takes: one step back undoes it.
  const STEPS = 100;
  const threshold = (bar, key, label) => {
    const field = make(bar, "label", "field threshold");
    make(field, "span", "label", label);
    const input = make(field, "input");
    Object.assign(input, { type: "range", min: 0, max: STEPS });
    const said = make(field, "output");
    const size = ({ low, high }) => low * (high / low) ** (input.value / STEPS);
    const value = () => (input.value === "0" ? 0 : Number(size(field.span).toPrecision(3)));
    const say = () => { said.textContent = value() ? `≥ ${value()}` : field.span.all; };
    input.addEventListener("input", () => { say(); preview({ [key]: value() }); });
    let began; // tells an adjustment from those before it, also after a reload
    const begin = () => { began = Date.now(); };
    input.addEventListener("focus", begin);
    input.addEventListener("pointerdown", begin);
    input.addEventListener("change", () => change({ [key]: value() || "" }, began));
    return (span) => {
      field.span = span;
      const place = span.value && span.high > span.low
        ? (STEPS * Math.log(span.value / span.low)) / Math.log(span.high / span.low) : 0;
      input.value = Math.round(Math.max(0, Math.min(STEPS, place)));
      input.disabled = !(span.high > span.low);
      said.textContent = span.value ? `≥ ${span.value}` : span.all;
    };
  };

  // Going back undoes at once what was previewed: if the server has not answered to it yet, what it
  // says of the address gone back to is nothing new, and would not be drawn.
  window.addEventListener("popstate", () => {
    for (const element of document.querySelectorAll("[data-draw=circuit], [data-draw=circuitbar]")) {
      window.lake.kinds[element.dataset.draw](element, JSON.parse(element.dataset.with));
    }
  });

  const plain = (name, longest) => name.replace(/[*~]/g, " ").trim().slice(0, longest);
  const group = (name, longest) => {
    const parts = state("groups").split("*").filter(Boolean).map((part) => part.split("~"));
    const members = names(state("pinned")).flatMap((key) => {
      const old = /^group\.(\d+)$/.exec(key); // a group among the pinned goes up in the new one
      return old ? (parts[old[1]] || []).slice(1) : [key];
    }).filter((key) => key !== "y");
    const left = parts
      .map(([old, ...nodes]) => [old, ...nodes.filter((node) => !members.includes(node))])
      .filter((part) => part.length > 1);
    const all = [...left, [plain(name, longest) || "group", ...members]];
    change({ groups: all.map((part) => part.join("~")).join("*"), pinned: "", node: "" });
  };

  const save = (blob, name) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  };

  // The graph as it looks now, its colours written into it.
  const LOOKS = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "opacity", "font-family", "font-size",
    "font-weight", "text-anchor"];
  const HEAD = 30; // px for the title above
  const foot = ({ legend }) => 28 + 17 * legend.length; // for the caption and the legend below
  const said = (svg, x, y, text, size, weight) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", "text");
    Object.entries({ x, y, fill: getComputedStyle(svg).color, "font-family": "system-ui, sans-serif",
      "font-size": size, "font-weight": weight }).forEach(([key, value]) => made.setAttribute(key, value));
    made.textContent = text;
    return made;
  };
  const picture = ({ circuit: { svg, caption, layout } }, { title, legend }) => {
    const copy = svg.cloneNode(true);
    const to = copy.querySelectorAll("*");
    svg.querySelectorAll("*").forEach((element, place) => {
      const look = getComputedStyle(element);
      for (const name of LOOKS) to[place].setAttribute(name, look.getPropertyValue(name));
      for (const name of ["class", "data-tip", "data-node", "tabindex", "role"]) to[place].removeAttribute(name);
    });
    copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    const ground = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    ground.setAttribute("width", "100%");
    ground.setAttribute("height", "100%");
    ground.setAttribute("fill", getComputedStyle(svg.closest(".panel")).backgroundColor);
    ground.setAttribute("y", -HEAD);
    copy.prepend(ground);
    copy.append(
      said(svg, 2, 14 - HEAD, title, 14, 650),
      said(svg, 2, layout.height + 16, caption.textContent, 12, 400),
      ...legend.map((line, place) => said(svg, 2, layout.height + 34 + 17 * place, line, 12, 400)),
    );
    const height = layout.height + HEAD + foot({ legend });
    copy.setAttribute("viewBox", `0 ${-HEAD} ${layout.width} ${height}`);
    copy.setAttribute("height", height);
    return new Blob([new XMLSerializer().serializeToString(copy)], { type: "image/svg+xml" });
  };
  const asPng = (element, words, name) => {
    const { width } = element.circuit.layout, scale = 2;
    const height = element.circuit.layout.height + HEAD + foot(words);
    const image = new Image(), url = URL.createObjectURL(picture(element, words));
    image.onload = () => {
      const canvas = document.createElement("canvas");
      Object.assign(canvas, { width: width * scale, height: height * scale });
      canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
      URL.revokeObjectURL(url);
      canvas.toBlob((blob) => save(blob, name), "image/png");
    };
    image.src = url;
  };

  window.lake.kinds.circuitbar = (element, data) => {
    if (!element.parts) {
      const nodes = threshold(element, "nodes", "Nodes: |effect|");
      const edges = threshold(element, "edges", "Edges: |weight|");
      const files = make(element, "span", "files");
      const first = (act) => () => graphs().slice(0, 1).forEach(act);
      const svg = make(files, "button", "download link", "SVG"), png = make(files, "button", "download link", "PNG");
      svg.addEventListener("click", first((graph) => save(picture(graph, element.words), element.files.svg)));
      png.addEventListener("click", first((graph) => asPng(graph, element.words, element.files.png)));
      element.parts = { nodes, edges };
    }
    Object.assign(element, { files: data.files, words: data.words });
    element.parts.nodes(data.nodes);
    element.parts.edges(data.edges);
  };

  // The form that makes a group of the pinned nodes, of two or more.
  window.lake.kinds.grouping = (element, { pinned, longest }) => {
    if (!element.firstChild) {
      const form = make(element, "form", "field");
      const name = make(form, "input");
      Object.assign(name, { placeholder: "Name of the group", maxLength: longest, type: "text" });
      name.setAttribute("aria-label", "Name of the group");
      make(form, "button", "button", "Group");
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        group(name.value, longest);
        name.value = "";
      });
    }
    element.hidden = pinned < 2;
  };

  window.lake.kinds.nodelist = (element, { rows, more, colours }) => {
    const list = document.createElement("div");
    const most = Math.max(1e-12, ...rows.map((row) => row[3]));
    for (const [key, text, value, share, alone] of rows) {
      const row = make(list, "button", "node-row");
      row.dataset.node = key;
      row.dataset.tip = `${text}\n${signed(value, 4)}, ${(100 * share).toFixed(1)} % of the list` +
        (alone && `\n${alone}`);
      const said = make(row, "span", "text");
      if (alone) {
        const mark = make(said, "i", "alone");
        mark.setAttribute("role", "img");
        mark.setAttribute("aria-label", alone);
      }
      said.append(text);
      const bar = make(row, "span", "share");
      const filled = make(bar, "i");
      filled.style.width = `${(100 * share) / most}%`;
      filled.style.background = value > 0 ? colours.positive : colours.negative;
      make(row, "span", "value", signed(value, 3));
      row.addEventListener("click", (event) =>
        (event.shiftKey || event.ctrlKey || event.metaKey ? pin : pick)(key));
    }
    if (more) make(list, "p", "quiet", `and ${more.toLocaleString("en")} weaker ones`);
    element.replaceChildren(...list.childNodes);
  };

  window.lake.kinds.tokenlist = (element, { tokens, colour }) => {
    const list = document.createElement("div");
    for (const [text, value] of tokens) {
      const token = make(list, "span", "raised", text);
      token.dataset.tip = `${value} logits`;
      token.style.borderColor = colour;
    }
    element.replaceChildren(...list.childNodes);
  };

  // Groups of a file: {"groups": [{"name": …, "nodes": […]}]}, as the page saves them.
  const read = (text, longest) => {
    const { groups } = JSON.parse(text);
    const parts = groups.map(({ name, nodes }) => {
      if (!Array.isArray(nodes) || !nodes.length) throw new Error("a group without nodes");
      return [plain(String(name), longest) || "group", ...nodes.map((node) => plain(String(node), 200))].join("~");
    });
    if (!parts.length) throw new Error("no groups");
    return parts.join("*");
  };
  window.lake.kinds.grouploader = (element, { longest }) => {
    const field = document.createElement("label");
    make(field, "span", "button", "Load groups from a file");
    const input = make(field, "input");
    Object.assign(input, { type: "file", accept: ".json,application/json" });
    const said = document.createElement("p");
    said.setAttribute("role", "status");
    input.addEventListener("change", async () => {
      const [file] = input.files;
      input.value = "";
      if (!file) return;
      said.textContent = "";
      try {
        if (file.size > 65_536) throw new Error("larger than 64 KiB");
        change({ groups: read(await file.text(), longest), node: "", pinned: "" });
      } catch (error) {
        said.textContent = `These are no groups of a circuit: ${error.message}`;
      }
    });
    element.replaceChildren(field, said);
  };

  // Two circuits may have a feature at different positions, of different prompts: what they have in
  // common is a name without its position.
  const feature = (key) => key.split(".", 2).join(".");
  const ring = (key) => {
    const alike = (other) => key !== undefined && feature(other) === feature(key);
    for (const graph of graphs()) {
      const nodes = [...graph.querySelectorAll(".node")], near = new Set();
      const meant = nodes.some((node) => node.dataset.node === key) ? (end) => end === key : alike;
      for (const path of graph.querySelectorAll(".edges path")) {
        const on = path.ends.some(meant);
        path.classList.toggle("ring", on);
        if (on) path.ends.forEach((end) => near.add(end));
      }
      for (const node of nodes) node.classList.toggle("near", near.has(node.dataset.node));
    }
    for (const node of document.querySelectorAll("[data-node]")) {
      const same = node.dataset.node === key;
      node.classList.toggle("ring", same);
      node.classList.toggle("kin", !same && alike(node.dataset.node));
    }
  };
  let ringed;
  const follow = (event) => {
    if (!graphs().length) return;
    const over = event.target.closest && event.target.closest("[data-node]");
    const key = over ? over.dataset.node : undefined;
    if (key === ringed) return;
    ringed = key;
    ring(key);
  };
  document.addEventListener("pointerover", follow);
  document.addEventListener("focusin", follow);
})();
