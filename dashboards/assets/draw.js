// What is drawn in the browser rather than made of components: an element with data-draw="kind" is
// handed to window.lake.kinds[kind] with the data in its data-with, when it comes and when that
// changes. Loaded in the head, since all other scripts add to window.lake.
(() => {
  const make = (parent, name, className, text) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  };
  window.lake = { kinds: {}, make };
  const drawn = new WeakMap();
  const draw = (element) => {
    const kind = window.lake.kinds[element.dataset.draw];
    const given = element.dataset.with;
    if (!kind || given === undefined || drawn.get(element) === given) return;
    drawn.set(element, given);
    kind(element, JSON.parse(given));
  };
  const look = (changes) => {
    for (const { type, target, addedNodes } of changes) {
      if (type === "attributes") draw(target);
      for (const node of addedNodes) {
        if (node.nodeType !== Node.ELEMENT_NODE) continue;
        if (node.matches("[data-draw]")) draw(node);
        node.querySelectorAll("[data-draw]").forEach(draw);
      }
    }
  };
  new MutationObserver(look).observe(document.documentElement, {
    childList: true, subtree: true, attributes: true, attributeFilter: ["data-with", "data-draw"],
  });
})();
