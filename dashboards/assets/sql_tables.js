// The tables that a statement can read: what the snapshot has of each, and their columns.
(() => {
  const PAUSE = 700; // ms between looks while a snapshot is made
  const number = (count) => count.toLocaleString("en");
  const { make } = window.lake;
  const inserting = (parent, name, tip) => {
    const button = make(parent, "button", "insert", name);
    if (tip) button.dataset.tip = tip;
    button.addEventListener("click", () => window.lake.sql.insert(name));
  };

  let place = null; // the element drawn last, its data and what fills it
  let looking = 0;

  const list = (parent, table) => {
    const details = make(parent, "details");
    details.dataset.table = table.name;
    const line = make(details, "summary");
    make(line, "code", "", table.name);
    make(line, "span", "rows");
    const about = make(details, "p", "quiet", `${table.doc}. `);
    inserting(about, table.name, "Into the statement");
    const columns = make(details, "ul");
    for (const { name, type, doc } of table.columns) {
      const item = make(columns, "li");
      inserting(item, name, doc);
      make(item, "span", "quiet", type.toLowerCase());
    }
  };

  const share = (part) => {
    if (part.fault) return ["not here", `Left out: ${part.fault}`];
    if (!part.by) return [number(part.rows), ""];
    const percent = (100 * part.rows) / Math.max(1, part.of);
    const text = `${number(part.rows)} · ${percent.toFixed(percent < 10 ? 1 : 0)} %`;
    return [text, `A sample of ${number(part.of)} rows, by ${part.by}`];
  };

  const fill = (standing) => {
    const { element, data, state } = place;
    const parts = new Map((standing.parts || [])
      .filter((part) => part.study === data.study).map((part) => [part.table, part]));
    for (const table of data.tables) {
      const row = element.querySelector(`details[data-table="${table.name}"] .rows`);
      const part = parts.get(table.name);
      const empty = ["–", `No rows of this study: ${table.filled}`];
      const [text, tip] = !standing.parts ? ["", ""] : part ? share(part) : empty;
      row.textContent = text;
      row.dataset.tip = tip;
      row.classList.toggle("part", Boolean(part && (part.by || part.fault)));
    }
    const [done, of] = standing.building || [0, 0];
    const taking = standing.building ? `A snapshot is being taken: ${of ? `${done} of ${of} tables` : "starting"} …` : "";
    const taken = standing.made
      ? `Snapshot of ${new Date(1000 * standing.made).toLocaleTimeString("en-GB")}, ${Math.ceil(standing.bytes / 2 ** 20)} MiB`
      : "";
    state.textContent = [taken, taking, standing.fault].filter(Boolean).join(". ");
    place.standing = standing;
  };

  const look = async () => {
    clearTimeout(looking);
    if (!place || !place.element.isConnected) return;
    try {
      const standing = await (await fetch("/sql/snapshot")).json();
      if (!place.element.isConnected) return;
      fill(standing);
      if (standing.building) looking = setTimeout(look, PAUSE);
    } catch { place.state.textContent = "The server does not answer."; }
  };

  // Why a statement may have found nothing: the tables it names that have no rows.
  const lacking = (sql) => {
    const { data, standing } = place || {};
    if (!standing?.parts) return "";
    const words = new Set(sql.toLowerCase().match(/[a-z_]+/g));
    const held = new Set(standing.parts.filter((p) => p.study === data.study && p.rows).map((p) => p.table));
    const empty = data.tables.filter(({ name }) => words.has(name) && !held.has(name));
    return empty.map(({ name, filled }) => `; ${name} is empty, ${filled}`).join("");
  };

  window.lake.sql = { ...window.lake.sql, look, lacking };
  window.lake.kinds.sqltables = (element, data) => {
    element.replaceChildren();
    const state = make(element, "p", "state");
    make(element, "p", "quiet", data.note);
    const tables = make(element, "div", "list");
    data.tables.forEach((table) => list(tables, table));
    place = { element, data, state, standing: {} };
    look();
  };
})();
