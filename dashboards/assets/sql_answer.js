// Statements of the SQL page: asked one at a time, stopped, shown in the page's table, saved.
(() => {
  const ROW = 27, HEADER = 32, MOST = 18, EDGE = 19; // px, px, rows in sight, px of borders and bar
  const LETTER = 7.2, NARROW = 64, WIDE = 420; // px of a letter and of columns
  const DIGITS = 4; // of a number that is not whole
  const PAUSE = 500; // ms between looks while a snapshot is made
  let run = ""; // name of what is being asked
  let asked = null; // what was asked last: { sql, study, of: the element it was asked from, file }
  let clock = 0;

  const part = (name) => document.querySelector(`.sqlanswer .${name}`);
  const wait = (time) => new Promise((done) => { setTimeout(done, time); });
  const number = (count) => count.toLocaleString("en");

  const post = (path, body) => fetch(`/sql/${path}`, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  });
  const reply = async (path, body) => {
    try {
      const answer = await post(path, body);
      if (!answer.ok) return { error: `The server refuses the statement (${answer.status}).` };
      if (answer.headers.get("Content-Type").startsWith("application/json")) return answer.json();
      return { file: await answer.blob(), more: answer.headers.has("X-More") };
    } catch { return { error: "The server does not answer. Is it running?" }; }
  };

  const tell = (text, state) => {
    if (!part("told")) return;
    part("told").textContent = text;
    part("why").hidden = state !== "fault";
    const bench = document.querySelector(".sqlbench");
    bench.dataset.state = state;
    if (state === "answered") bench.dataset.filled = "";
    else if (state !== "asking") delete bench.dataset.filled;
  };
  const fault = (text) => {
    tell("No answer", "fault");
    if (part("why")) part("why").textContent = text;
  };
  const ticking = (since) => {
    clearInterval(clock);
    const tick = () => tell(`Asking … ${Math.round((performance.now() - since) / 1000)} s`, "asking");
    clock = setInterval(tick, 1000);
  };

  // What is being asked ends; a tab that closes says so too.
  const stop = () => {
    clearInterval(clock);
    if (!run) return;
    const named = new Blob([JSON.stringify({ run })], { type: "application/json" });
    navigator.sendBeacon("/sql/stop", named);
    run = "";
  };
  window.addEventListener("pagehide", stop);

  // The answer to what is asked now, and the ms it took; null where something else is asked meanwhile.
  const answered = async (path, sql, study) => {
    stop();
    const own = crypto.randomUUID();
    run = own;
    tell("Asking …", "asking");
    ticking(performance.now());
    for (;;) {
      const since = performance.now();
      const answer = await reply(path, { sql, study, run: own });
      if (run !== own) return null;
      if (!answer.building) {
        clearInterval(clock);
        run = "";
        if (answer.error) fault(answer.error);
        return answer.error ? null : { ...answer, time: performance.now() - since };
      }
      clearInterval(clock);
      const [done, of] = answer.building;
      tell(`Taking a snapshot of the lake: ${of ? `${done} of ${of} tables` : "starting"} …`, "asking");
      await wait(PAUSE);
    }
  };

  const widest = (column, cells) => {
    const texts = [column.name, ...cells.slice(0, 100).map((cell) => shownCell(cell, column.kind))];
    const letters = texts.reduce((most, text) => Math.max(most, text.length), 0);
    return Math.round(Math.min(WIDE, Math.max(NARROW, (column.kind === "text" ? 40 : 30) + LETTER * letters)));
  };
  const shownCell = (cell, kind) => window.dashAgGridFunctions.sqlCell(cell, kind);

  const heading = (column, place, rows) => {
    const width = widest(column, rows.map((row) => row[place]));
    const numeric = column.kind !== "text";
    return {
      field: `c${place}`, headerName: column.name, headerTooltip: column.type, width,
      valueFormatter: { function: `sqlCell(params.value, '${column.kind}')` },
      cellClassRules: { nothing: "params.value == null" },
      ...(numeric
        ? { type: "rightAligned", cellClass: "number", comparator: { function: "sqlOrder" } }
        : {}),
      tooltipField: `c${place}`,
    };
  };

  const show = ({ columns, rows, more, time }) => {
    const headings = columns.map((column, place) => heading(column, place, rows));
    const all = headings.reduce((sum, { width }) => sum + width, 0);
    if (all < (document.querySelector(".sqlanswer")?.clientWidth ?? 0)) {
      headings.forEach((h) => { h.flex = h.width; h.minWidth = h.width; });
    }
    window.dash_clientside.set_props("sql-answer", {
      columnDefs: headings,
      rowData: rows.map((row) => Object.fromEntries(row.map((cell, place) => [`c${place}`, cell]))),
      style: { height: `${HEADER + ROW * Math.min(MOST, Math.max(1, rows.length)) + EDGE}px` },
    });
    const count = more ? `The first ${number(rows.length)} rows` : `${number(rows.length)} row${rows.length === 1 ? "" : "s"}`;
    tell(`${count} in ${Math.round(time)} ms${rows.length ? "" : window.lake.sql.lacking(asked.sql)}`,
      rows.length ? "answered" : "none");
  };

  const ask = async (sql, study, of, file) => {
    asked = { sql, study, of, file };
    const answer = await answered("answer", sql, study);
    if (answer) show(answer);
    if (window.lake.sql.look) window.lake.sql.look();
  };
  const isAsked = (sql, study, of) =>
    asked && asked.sql === sql && asked.study === study && asked.of === of;

  const save = async () => {
    const answer = await answered("answer.csv", asked.sql, asked.study);
    if (!answer) return;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(answer.file);
    link.download = asked.file;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    tell(answer.more ? "Saved: as many rows as a CSV may have; there are more" : "Saved", "answered");
  };

  // Numbers as the table shows them: whole ones in full (they may be ids), others to four digits that
  // count, as `make sql` prints them; all digits where the pointer rests, and in the CSV.
  window.dashAgGridFunctions = window.dashAgGridFunctions || {};
  window.dashAgGridFunctions.sqlCell = (cell, kind) => {
    if (cell === null || cell === undefined) return "null";
    if (kind !== "real" || typeof cell !== "number") return String(cell);
    const short = Number(cell.toPrecision(DIGITS));
    return Math.abs(short) >= 1e6 || (short && Math.abs(short) < 1e-4) ? short.toExponential() : String(short);
  };
  window.dashAgGridFunctions.sqlOrder = (a, b) => {
    if (a === null || b === null) return (a === null ? 0 : 1) - (b === null ? 0 : 1);
    return Number(a) - Number(b);
  };

  window.lake.sql = { ...window.lake.sql, ask, isAsked, stop: () => { if (run) { stop(); tell("Stopped", "stopped"); } } };
  window.lake.kinds.sqlanswer = (element) => {
    const told = document.createElement("span");
    told.className = "told";
    told.setAttribute("role", "status");
    const button = document.createElement("button");
    button.className = "save";
    button.textContent = "↓ CSV";
    button.addEventListener("click", save);
    const title = document.createElement("div");
    title.append(told, button);
    const text = document.createElement("pre");
    text.className = "why";
    text.setAttribute("role", "alert");
    text.hidden = true;
    element.replaceChildren(title, text);
  };
})();
