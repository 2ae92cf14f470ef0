// A form that labels a feature. The server writes it down, or says why not; then the page is shown
// anew from its address. Who labels is kept by this browser.
(() => {
  const KEPT = "circuit-lake-author";
  const author = () => { try { return localStorage.getItem(KEPT) || ""; } catch { return ""; } };
  const keep = (name) => { try { localStorage.setItem(KEPT, name); } catch { /* not kept */ } };
  const make = (parent, name, properties = {}) => {
    const made = Object.assign(document.createElement(name), properties);
    parent.append(made);
    return made;
  };
  const field = (form, name, text, maxLength, required) => {
    const label = make(form, "label");
    make(label, "span", { className: "label", textContent: text });
    return make(label, "input", { name, maxLength, required, autocomplete: "off" });
  };

  const send = async (form, said, data, label) => {
    const { study, site, feature } = data;
    const given = { study, site, feature, label, author: form.author.value, notes: form.notes.value };
    const buttons = form.querySelectorAll("button");
    buttons.forEach((button) => { button.disabled = true; });
    said.textContent = "";
    try {
      const headers = { "Content-Type": "application/json" };
      const answer = await fetch("/labels", { method: "POST", headers, body: JSON.stringify(given) });
      if (!answer.ok) throw new Error(await answer.text());
      keep(form.author.value);
      form.elements.label.value = form.notes.value = "";
      window.dash_clientside.set_props("url", { href: location.href }); // the page anew
    } catch (error) {
      said.textContent = error.message || "The server does not answer.";
    } finally {
      buttons.forEach((button) => { button.disabled = false; });
    }
  };

  window.lake.kinds.labelform = (element, data) => {
    const old = element.querySelector("form");
    if (old && old.dataset.of === JSON.stringify([data.study, data.site, data.feature])) {
      old.querySelector(".link").hidden = !data.labelled;
      return; // what is half written stays
    }
    const form = document.createElement("form");
    form.dataset.of = JSON.stringify([data.study, data.site, data.feature]);
    const { longest } = data;
    field(form, "label", "Label", longest.label, true);
    field(form, "notes", "Notes", longest.notes, false);
    field(form, "author", "By", longest.author, true).value = author();
    const row = make(form, "div", { className: "send" });
    make(row, "button", { className: "button", textContent: "Add label" });
    const back = make(row, "button", { className: "link", type: "button", textContent: "Take back" });
    back.hidden = !data.labelled;
    const said = make(row, "span", { className: "answer" });
    said.setAttribute("role", "status");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      send(form, said, data, form.elements.label.value);
    });
    back.addEventListener("click", () => {
      if (form.author.reportValidity()) send(form, said, data, null);
    });
    element.replaceChildren(form);
  };
})();
