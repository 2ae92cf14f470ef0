// The map of a clustering, on a canvas: what a line is drawn around goes to the address as a
// polygon, a click to the cluster of the point below it.
(() => {
  const MOST = 40; // corners of a polygon in the address
  const DIGITS = 5;
  const NEAR = 9; // px
  const CLICK = 4; // px that a click may move
  const maps = new WeakMap();

  const turn = (changes) => {
    const query = new URLSearchParams(location.search);
    query.delete("page");
    query.delete("lasso");
    for (const [key, value] of Object.entries(changes)) query.set(key, value);
    window.lake.go(`${location.pathname}?${query}`);
  };
  const span = (values) => {
    let low = Infinity, high = -Infinity;
    for (const v of values) { if (v < low) low = v; if (v > high) high = v; }
    if (low > high) return [0, 1];
    const beyond = 0.04 * (high - low) || 1;
    return [low - beyond, high + beyond];
  };
  const holds = (corners, x, y) => {
    let inside = false;
    corners.forEach(([x1, y1], i) => {
      const [x2, y2] = corners[(i + 1) % corners.length];
      if ((y1 > y) !== (y2 > y) && x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1) inside = !inside;
    });
    return inside;
  };

  class ClusterMap {
    constructor(element) {
      this.element = element;
      this.canvas = document.createElement("canvas");
      this.canvas.setAttribute("role", "img");
      element.replaceChildren(this.canvas);
      this.chosen = { cluster: null, lasso: [] };
      this.path = null; // of the line being drawn, px
      new ResizeObserver(() => this.draw()).observe(element);
      this.canvas.addEventListener("pointerdown", (event) => this.start(event));
      this.canvas.addEventListener("pointermove", (event) => this.move(event));
      this.canvas.addEventListener("pointerup", (event) => this.end(event));
      this.canvas.addEventListener("pointercancel", () => { this.path = null; this.draw(); });
    }
    show(points) {
      this.points = points;
      this.xs = span(points.x);
      this.ys = span(points.y);
      this.canvas.setAttribute("aria-label", `Map of ${points.x.length} contexts`);
      this.draw();
    }
    at(x, y) {
      const [[x0, x1], [y0, y1]] = [this.xs, this.ys];
      return [((x - x0) / (x1 - x0)) * this.width, ((y1 - y) / (y1 - y0)) * this.height];
    }
    place([px, py]) {
      const [[x0, x1], [y0, y1]] = [this.xs, this.ys];
      return [x0 + (px / this.width) * (x1 - x0), y1 - (py / this.height) * (y1 - y0)];
    }
    draw() {
      if (!this.points) return;
      const ratio = window.devicePixelRatio || 1;
      this.width = this.element.clientWidth;
      this.height = this.element.clientHeight;
      this.canvas.width = this.width * ratio;
      this.canvas.height = this.height * ratio;
      const pen = this.canvas.getContext("2d");
      pen.scale(ratio, ratio);
      const { x, y, cluster, colour, palette } = this.points;
      const { lasso } = this.chosen;
      const on = x.map((_, i) =>
        lasso.length ? holds(lasso, x[i], y[i]) : cluster[i] === this.chosen.cluster);
      for (const picked of [false, true]) { // what is picked on top
        pen.globalAlpha = picked ? 1 : 0.34;
        for (let i = 0; i < x.length; i += 1) {
          if (on[i] !== picked) continue;
          const [px, py] = this.at(x[i], y[i]);
          pen.fillStyle = palette[colour[i]];
          pen.beginPath();
          pen.arc(px, py, picked ? 3.6 : 2.6, 0, 2 * Math.PI);
          pen.fill();
        }
      }
      pen.globalAlpha = 1;
      pen.strokeStyle = getComputedStyle(this.element).getPropertyValue("color");
      pen.lineWidth = 1.5;
      const line = this.path || lasso.map(([cx, cy]) => this.at(cx, cy));
      if (line.length < 2) return;
      pen.beginPath();
      line.forEach(([px, py], i) => (i ? pen.lineTo(px, py) : pen.moveTo(px, py)));
      if (!this.path) pen.closePath();
      pen.stroke();
    }
    below({ offsetX, offsetY }) { // the nearest point, or null
      let found = null, least = NEAR ** 2;
      const { x, y } = this.points;
      for (let i = 0; i < x.length; i += 1) {
        const [px, py] = this.at(x[i], y[i]);
        const far = (px - offsetX) ** 2 + (py - offsetY) ** 2;
        if (far < least) { found = i; least = far; }
      }
      return found;
    }
    start(event) {
      if (event.button) return;
      this.tell(null); // until the line is drawn
      this.canvas.setPointerCapture(event.pointerId);
      this.path = [[event.offsetX, event.offsetY]];
    }
    move(event) {
      if (this.path) {
        this.path.push([event.offsetX, event.offsetY]);
        this.draw();
        return;
      }
      this.tell(this.below(event), event);
    }
    tell(point, event) {
      const tip = document.getElementById("tip");
      tip.hidden = point === null;
      this.canvas.style.cursor = point === null ? "" : "pointer";
      if (point === null) return;
      tip.textContent = this.points.tips[point];
      const { width, height } = tip.getBoundingClientRect();
      const beyond = event.clientX + 14 + width > innerWidth;
      tip.style.left = `${beyond ? event.clientX - 14 - width : event.clientX + 14}px`;
      tip.style.top = `${Math.min(event.clientY + 14, innerHeight - height - 6)}px`;
    }
    end(event) {
      const path = this.path || [];
      this.path = null;
      const moved = path.some(([px, py]) =>
        Math.hypot(px - path[0][0], py - path[0][1]) > CLICK);
      if (moved) {
        const every = Math.ceil(path.length / MOST);
        const corners = path.filter((_, i) => i % every === 0).map((p) => this.place(p));
        if (corners.length < 3) { this.draw(); return; }
        const lasso = corners.flat().map((n) => Number(n.toPrecision(DIGITS))).join(",");
        turn({ lasso, view: "contexts" });
        return;
      }
      const point = this.below(event);
      const { cluster, clustering } = this.points;
      if (point !== null) turn({ cluster: `${clustering}-${cluster[point]}` });
      else if (this.chosen.lasso.length) turn({});
    }
  }

  const mapOf = (element) => {
    if (!maps.has(element)) {
      const map = new ClusterMap(element);
      maps.set(element, map);
      element.addEventListener("pointerleave", () => {
        document.getElementById("tip").hidden = true;
      });
    }
    return maps.get(element);
  };
  window.lake.kinds.clusterPoints = (element, points) => mapOf(element).show(points);
  window.lake.kinds.clusterChosen = (element, chosen) => {
    const map = mapOf(element.previousElementSibling);
    map.chosen = chosen;
    map.draw();
  };
})();
