// Cluster files in the original's format, opened and browsed here; with textContent alone.
(() => {
  const { make } = window.lake;
  const LONGEST = 80; // characters of a token
  const BARS = 10;
  const NAMED = { "\n": "↵", "\r": "␍", "\t": "⇥" };
  const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/gu;

  const shown = (c) => {
    const code = c.codePointAt(0);
    if (NAMED[c]) return NAMED[c];
    if (code < 32) return String.fromCodePoint(0x2400 + code);
    return `⟨${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
  };
  const visible = (text) => {
    const cut = text.slice(0, LONGEST).replace(UNSEEN, shown);
    return text.length > LONGEST ? `${cut}… (${text.length.toLocaleString("en")} characters)` : cut;
  };
  const dotted = (text) =>
    visible(text).replace(/^ +| +$/g, (spaces) => "·".repeat(spaces.length)) || "∅";
  const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
  const strings = (value) => Array.isArray(value) && value.every((t) => typeof t === "string");

  // {id: {context, answer}} -> [{id, context, answer, document}]; null where it is none.
  const contextsOf = (json) => {
    const found = isObject(json) && isObject(json.contexts) ? json.contexts : json;
    if (!isObject(found) || !Object.keys(found).length) return null;
    const read = Object.entries(found).map(([id, c]) => {
      const answer = isObject(c) ? c.answer ?? c.y : undefined;
      if (!isObject(c) || !strings(c.context) || typeof answer !== "string") return null;
      return { id, context: c.context, answer, document: c.document_idx };
    });
    return read.includes(null) ? null : read;
  };
  // {k: [[labels], null]} -> {k: labels}; null where it is none.
  const clusteringsOf = (json) => {
    const found = isObject(json) && isObject(json.clusters) ? json.clusters : json;
    if (!isObject(found) || !Object.keys(found).length) return null;
    const entries = Object.entries(found).map(([k, v]) => {
      const labels = Array.isArray(v) && Array.isArray(v[0]) ? v[0] : v;
      return Array.isArray(labels) && labels.every(Number.isInteger) ? [k, labels] : null;
    });
    return entries.includes(null) ? null : Object.fromEntries(entries);
  };
  // Contexts of each cluster, largest first.
  const grouped = (contexts, labels) => {
    const groups = new Map();
    labels.slice(0, contexts.length).forEach((label, i) => {
      if (!groups.has(label)) groups.set(label, []);
      groups.get(label).push(contexts[i]);
    });
    return [...groups.values()].sort((a, b) => b.length - a.length);
  };

  const answers = (parent, contexts) => {
    const counts = new Map();
    for (const { answer } of contexts) counts.set(answer, (counts.get(answer) || 0) + 1);
    const ordered = [...counts].sort((a, b) => b[1] - a[1]);
    const box = make(parent, "div", "answers");
    for (const [answer, count] of ordered.slice(0, BARS)) {
      const row = make(box, "div", "answer");
      make(row, "b", "", dotted(answer));
      make(make(row, "span", "track"), "i").style.width = `${(100 * count) / ordered[0][1]}%`;
      make(row, "span", "count", String(count));
    }
    const rest = ordered.length - BARS;
    if (rest > 0) make(box, "p", "quiet", `and ${rest} other answers`);
  };
  const context = ({ context: tokens, answer, document: doc, id }) => ({
    said: [{ text: doc === undefined ? `context ${visible(id)}` : `document ${visible(String(doc))}` }],
    tokens: [...tokens, answer].map(visible),
    marked: [tokens.length],
    breaks: false,
  });

  window.lake.kinds.clusterFile = (element, { most }) => {
    element.replaceChildren();
    const label = make(element, "label", "drop", "Choose one or two JSON files, or drop them here ");
    const input = make(label, "input");
    input.type = "file";
    input.multiple = true;
    input.accept = ".json,application/json";
    input.id = "cluster-file-input";
    const told = make(element, "p", "quiet");
    told.setAttribute("role", "status");
    const body = make(element, "div", "opened");

    const state = { contexts: null, clusterings: null, k: null, cluster: 0, page: 0 };
    const button = (bar, text, to, off, step) => {
      const b = make(bar, "button", "plain-button", text);
      b.disabled = off;
      b.addEventListener("click", () => { Object.assign(state, to); draw(); });
      if (step) b.dataset.turn = step;
    };
    const draw = () => {
      body.replaceChildren();
      if (!state.contexts) return;
      const { clusterings, k } = state;
      const groups = clusterings && clusterings[k] ? grouped(state.contexts, clusterings[k])
        : [state.contexts];
      state.cluster = Math.min(state.cluster, Math.max(0, groups.length - 1));
      const group = groups[state.cluster] || [];
      const pages = Math.max(1, Math.ceil(group.length / most));
      state.page = Math.min(state.page, pages - 1);
      const bar = make(body, "div", "bar");
      if (clusterings) {
        const choose = make(bar, "select");
        choose.setAttribute("aria-label", "k");
        Object.keys(clusterings).forEach((name) => choose.append(new Option(`k ${visible(name)}`, name)));
        choose.value = k;
        choose.addEventListener("change", () => {
          Object.assign(state, { k: choose.value, cluster: 0, page: 0 });
          draw();
        });
        const at = state.cluster;
        button(bar, "← Previous", { cluster: at - 1, page: 0 }, at === 0, "previous");
        make(bar, "span", "place", `cluster ${at + 1} of ${groups.length}`);
        button(bar, "Next →", { cluster: at + 1, page: 0 }, at >= groups.length - 1, "next");
      }
      const { page } = state;
      make(bar, "span", "quiet", `${group.length.toLocaleString("en")} contexts`);
      button(bar, "previous page", { page: page - 1 }, page === 0);
      make(bar, "span", "place", `${page + 1} of ${pages}`);
      button(bar, "next page", { page: page + 1 }, page >= pages - 1);
      answers(body, group);
      const contexts = group.slice(page * most, (page + 1) * most).map(context);
      window.lake.kinds.contexts(make(body, "div", "contexts"), { contexts, none: "No contexts." });
    };
    const open = async (files) => {
      const problems = [];
      for (const file of files) {
        let json;
        try { json = JSON.parse(await file.text()); } catch { /* said below */ }
        const contexts = contextsOf(json);
        const clusterings = clusteringsOf(json);
        if (contexts) Object.assign(state, { contexts, cluster: 0, page: 0 });
        if (contexts && !clusterings) state.clusterings = null;
        if (clusterings) Object.assign(state, { clusterings, k: Object.keys(clusterings).at(-1) });
        if (!contexts && !clusterings) problems.push(visible(file.name));
      }
      const names = [...files].map((file) => visible(file.name)).join(", ");
      if (problems.length) told.textContent = `No cluster file: ${problems.join(", ")}`;
      else if (!state.contexts) told.textContent = `${names}: open the contexts beside it`;
      else told.textContent = names;
      draw();
    };
    // Contexts first, so that opening them does not drop the clusterings chosen with them.
    const both = (files) => open([...files].sort((a, b) => b.size - a.size));
    input.addEventListener("change", () => both(input.files));
    label.addEventListener("dragover", (event) => event.preventDefault());
    label.addEventListener("drop", (event) => {
      event.preventDefault();
      both(event.dataTransfer.files);
    });
  };

  document.addEventListener("keydown", (event) => {
    const turn = { ArrowLeft: "previous", ArrowRight: "next" }[event.key];
    if (!turn || event.target.closest("input, select, textarea")) return;
    const button = document.querySelector(`.cluster-file [data-turn=${turn}]`);
    if (button && !button.disabled) button.click();
  });
})();
