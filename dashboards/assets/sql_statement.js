// The field in which a statement is written: coloured as one types, asked by Ctrl+Enter.
(() => {
  const MOST = 20_000; // characters that are coloured
  const HINT = "Ctrl+Enter runs";
  const LOW = 6, HIGH = 12; // lines in sight
  const WORDS = new Set((
    "all and any as asc between by case cast count cross cube desc describe distinct else end " +
    "except exclude exists false filter first following from full group having ilike in inner " +
    "intersect interval is join last lateral left like limit materialized natural not null nulls " +
    "offset on or order outer over partition positional preceding qualify range recursive replace " +
    "right rollup row rows sample select semi anti sets show summarize table tablesample then true " +
    "unbounded union unique unpivot pivot using values when where window with within"
  ).split(" "));
  const TOKEN = new RegExp([
    "(?<note>--[^\\n]*|/\\*[^]*?(?:\\*/|$))", "(?<text>'(?:[^']|'')*'?)",
    '(?<name>"(?:[^"]|"")*"?)', "(?<number>\\b\\d[\\w.]*)", "(?<word>\\$?[A-Za-z_]\\w*)",
  ].join("|"), "g");

  const kindOf = ({ note, text, number, word }) => {
    if (note) return "note";
    if (text) return "text";
    if (number) return "number";
    if (word?.startsWith("$")) return "number";
    return word && WORDS.has(word.toLowerCase()) ? "word" : "";
  };
  const coloured = (sql) => {
    const made = document.createDocumentFragment();
    let end = 0;
    for (const found of sql.length <= MOST ? sql.matchAll(TOKEN) : []) {
      const kind = kindOf(found.groups);
      if (!kind) continue;
      const span = document.createElement("span");
      span.className = kind;
      span.textContent = found[0];
      made.append(sql.slice(end, found.index), span);
      end = found.index + found[0].length;
    }
    made.append(`${sql.slice(end)}\n`);
    return made;
  };

  const fields = new WeakMap();
  const button = (name, text, act) => {
    const made = document.createElement("button");
    made.className = name;
    made.textContent = text;
    made.addEventListener("click", act);
    return made;
  };

  // A question's parameters: a value goes to the address, which makes the statement anew.
  const fieldsOf = (parameters) => {
    const given = new URLSearchParams(location.search).get("given") || "";
    return parameters.map(({ name, doc, value, choices }) => {
      const label = document.createElement("label"), input = document.createElement("input");
      label.className = "field";
      label.dataset.tip = doc;
      Object.assign(input, { type: "text", value, spellcheck: false, autocomplete: "off" });
      input.size = Math.max(6, Math.min(32, value.length + 4));
      input.addEventListener("change", () => {
        const values = new URLSearchParams(given);
        if (input.value) values.set(name, input.value);
        else values.delete(name); // its default again
        const query = new URLSearchParams(location.search);
        query.set("given", values);
        window.lake.go(`${location.pathname}?${query}`);
      });
      const called = window.lake.make(label, "span", "label", name);
      called.after(input);
      if (choices.length) {
        const list = window.lake.make(label, "datalist");
        list.id = `choices-${name}`;
        for (const choice of choices) window.lake.make(list, "option").value = choice;
        input.setAttribute("list", list.id);
      }
      return label;
    });
  };

  const build = (element) => {
    const field = { data: null, ground: document.createElement("pre"), text: document.createElement("textarea") };
    const { ground, text } = field;
    const paint = () => ground.replaceChildren(coloured(text.value));
    const follow = () => { ground.scrollTop = text.scrollTop; ground.scrollLeft = text.scrollLeft; };
    const write = (sql) => {
      text.value = sql;
      text.style.height = `${Math.min(HIGH, Math.max(LOW, sql.split("\n").length)) * 1.5 + 2}em`;
      text.scrollTop = 0;
      paint();
    };
    const go = () => {
      const { sql, study, longest, file } = field.data;
      if (!text.value.trim()) { note.textContent = "There is no statement to run."; return; }
      const own = text.value !== sql;
      window.lake.sql.ask(text.value, study, element, own ? "answer.csv" : file);
      if (!own) { note.textContent = HINT; return; }
      const query = new URLSearchParams(location.search);
      query.delete("query");
      query.delete("given");
      query.set("sql", text.value);
      const fits = query.toString().length <= longest;
      note.textContent = fits ? HINT : "Too long for the address: a reload will not have it.";
      if (fits) window.lake.go(`${location.pathname}?${query}`);
    };
    const insert = (name) => {
      text.focus();
      text.setRangeText(name, text.selectionStart, text.selectionEnd, "end");
      paint();
    };
    ground.setAttribute("aria-hidden", "true");
    text.spellcheck = false;
    text.autocapitalize = "off";
    text.setAttribute("aria-label", "SQL statement");
    text.addEventListener("input", paint);
    text.addEventListener("scroll", follow);
    text.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); go(); }
      if (event.key === "Escape") window.lake.sql.stop();
    });
    const area = document.createElement("div");
    area.className = "area";
    area.append(ground, text);
    const note = document.createElement("span");
    note.className = "quiet";
    note.textContent = HINT;
    const row = document.createElement("div");
    row.className = "row";
    row.append(
      button("run", "Run", go), note, button("stop", "Stop", () => window.lake.sql.stop()),
    );
    const parameters = document.createElement("div");
    parameters.className = "parameters";
    field.parameters = parameters;
    element.replaceChildren(parameters, area, row);
    fields.set(element, field);
    Object.assign(field, { write, insert });
    window.lake.sql.insert = insert;
    return field;
  };

  window.lake.sql = window.lake.sql || {};
  window.lake.kinds.sqlstatement = (element, data) => {
    const field = fields.get(element) || build(element);
    if (JSON.stringify(field.data?.parameters) !== JSON.stringify(data.parameters)) {
      field.parameters.replaceChildren(...fieldsOf(data.parameters));
    }
    field.data = data;
    if (field.text.value !== data.sql) field.write(data.sql);
    const { ask, isAsked } = window.lake.sql;
    if (!isAsked(data.sql, data.study, element)) ask(data.sql, data.study, element, data.file);
  };
})();
