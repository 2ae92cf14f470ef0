// Examples of a task: clean prompt and patch side by side, what differs marked, each with its answer.
(() => {
  const { make } = window.lake;
  const prompt = (parent, side) => {
    const cell = make(parent, "td");
    if (!side) return;
    const text = make(cell, "span", "strip");
    window.lake.kinds.strip(text, side.strip);
    if (side.answer === null) return;
    make(cell, "span", "quiet", " → ");
    make(cell, "b", "answer", side.answer);
  };
  window.lake.kinds.prompts = (element, { paired, rows }) => {
    const table = document.createElement("table");
    table.className = paired ? "paired" : "";
    const names = make(make(table, "thead"), "tr");
    const heads = ["no.", paired ? "clean prompt → answer" : "prompt → answer"];
    for (const name of [...heads, ...(paired ? ["patch → its answer"] : []), "case"]) {
      make(names, "th", "", name);
    }
    const body = make(table, "tbody");
    for (const { number, of, case: kind, clean, patch } of rows) {
      const row = make(body, "tr");
      make(row, "td", "number quiet", String(number)).dataset.tip = `split ${of}`;
      prompt(row, clean);
      if (paired) prompt(row, patch);
      make(row, "td", "quiet", kind);
    }
    element.replaceChildren(table);
  };
})();
