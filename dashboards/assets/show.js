// Shows what the server has made of an address. Put in whole, Dash would build everything anew: the
// focus, the scroll and the zoom would be lost at each click. So the parts that differ from what is
// shown are changed where they stand, as long as a page keeps its shape. Of a new page, figures and
// tables come into boxes of their size: those in sight next, the others when the browser is idle.
(() => {
  const HEAVY = { Graph: "dash_core_components", AgGrid: "dash_ag_grid" }; // and where from
  const MOST = 60; // changes below one component, beyond which it is put in whole
  const SETTLED = 2000; // ms after the first page, when its reader reads
  let was = null; // what is shown
  let lacking = []; // of it: { path, box, component } of boxes that are still empty

  const isComponent = (node) => node !== null && typeof node === "object" && "namespace" in node;
  const same = (a, b) => a === b || JSON.stringify(a) === JSON.stringify(b);
  const alike = (a, b) =>
    isComponent(a) && isComponent(b) && a.type === b.type && same(a.props.id, b.props.id);

  // The changes that make a component the other: [path, properties] each.
  const differences = (path, old, now) => {
    const own = {};
    for (const key of new Set([...Object.keys(old.props), ...Object.keys(now.props)])) {
      if (key !== "children" && !same(old.props[key], now.props[key])) {
        own[key] = now.props[key] ?? null;
      }
    }
    const below = inside([...path, "props", "children"], old.props.children, now.props.children);
    const changes = below && below.length <= MOST ? below : [];
    if (!below || below.length > MOST) own.children = now.props.children ?? null;
    return Object.keys(own).length ? [[path, own], ...changes] : changes;
  };

  // The same for children; null where their shape differs.
  const inside = (path, old, now) => {
    if (same(old, now)) return [];
    if (alike(old, now)) return differences(path, old, now);
    if (!Array.isArray(old) || !Array.isArray(now) || old.length !== now.length) return null;
    const all = [];
    for (const [place, child] of now.entries()) {
      if (same(old[place], child)) continue;
      if (!alike(old[place], child)) return null;
      all.push(...differences([...path, place], old[place], child));
    }
    return all;
  };

  const collect = (node, found) => {
    if (Array.isArray(node)) node.forEach((child) => collect(child, found));
    if (!isComponent(node)) return found;
    const { id, value, children } = node.props;
    if (id && id.type === "control") found[id.key] = value;
    return collect(children, found), found;
  };

  // A page without its heavy components, each of which is its box's only child.
  const lightened = (node, path) => {
    if (Array.isArray(node)) return node.map((child, place) => lightened(child, [...path, place]));
    if (!isComponent(node) || !node.props.children) return node;
    const children = node.props.children;
    if (isComponent(children) && children.type in HEAVY) {
      const box = { ...node, props: { ...node.props, children: null } };
      lacking.push({ path, box, component: children });
      return box;
    }
    const below = lightened(children, [...path, "props", "children"]);
    return { ...node, props: { ...node.props, children: below } };
  };
  const fill = ({ path, box, component }) => {
    box.props.children = component;
    window.dash_clientside.set_props(path, { children: component });
    if (component.type === "AgGrid") window.lake.followOnceMade(component.props.id);
  };
  const inSight = ({ component }) => {
    const box = document.getElementById(`${component.props.id}-box`);
    const { top, bottom } = box ? box.getBoundingClientRect() : { top: 0, bottom: 1 };
    return top < window.innerHeight && bottom > 0;
  };
  // The scripts behind figures and tables are loaded before the first click that needs them; and a
  // table that stays, hidden, keeps the style sheets that each of the others would bring again.
  const fetchAhead = () => {
    const made = ([type, namespace]) => ({ type, namespace, props: { id: type } });
    window.dash_clientside.set_props("ahead", { children: Object.entries(HEAVY).map(made) });
  };
  const whenIdle = (action) => { // Safari has no requestIdleCallback
    if (window.requestIdleCallback) requestIdleCallback(action, { timeout: 500 });
    else setTimeout(action, 50);
  };
  const fillNext = () => {
    if (!lacking.length) return;
    fill(lacking.shift());
    whenIdle(fillNext);
  };
  const fillSight = (shown) => {
    if (shown !== was) return; // something else is, by now
    const near = lacking.filter(inSight);
    lacking = lacking.filter((one) => !near.includes(one));
    near.forEach(fill);
    document.body.removeAttribute("data-busy");
    whenIdle(fillNext);
  };

  const show = (tree) => {
    const dash = window.dash_clientside;
    if (!tree) return dash.no_update;
    lacking = []; // what is in no box yet differs from what is to be in it
    const shown = { name: tree.name };
    window.lake.shown = collect([tree.top, tree.page], {}); // before the controls are told
    for (const part of ["top", "page"]) {
      const root = ["components", "props", "children", tree.places[part], "props", "children"];
      const turned = was && (part === "top" || was.name === tree.name);
      const changes = turned ? inside(root, was[part], tree[part]) : null;
      shown[part] = changes ? tree[part] : lightened(tree[part], root);
      if (changes) changes.forEach(([path, own]) => dash.set_props(path, own));
      else dash.set_props(part, { children: structuredClone(shown[part]) }); // Dash's own
    }
    if (!was) setTimeout(fetchAhead, SETTLED);
    if (was && was.name !== tree.name) window.scrollTo(0, 0);
    was = shown;
    document.title = tree.title;
    if (lacking.length) setTimeout(fillSight, 0, shown); // once the boxes stand
    else fillSight(shown);
    return dash.no_update;
  };
  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.lake = { ...window.dash_clientside.lake, show };
})();
