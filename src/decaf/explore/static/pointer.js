"use strict";
// Mouse, pen and fingers on the map.
decaf.Pointer = class {
  constructor(state) {
    this.state = state;
    this.scene = state.scene;
    this.canvas = decaf.el("map");
    this.tool = "move";
    this.down = new Map(); // pointer -> [left, top]
    this.gesture = null;
    for (const kind of ["pointerdown", "pointermove", "pointerup", "pointercancel", "pointerleave"]) {
      this.canvas.addEventListener(kind, (event) => this[kind](event));
    }
    this.canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.canvas.addEventListener("dblclick", (event) => this.zoom(2.5, ...this.at(event)));
    for (const tool of ["move", "lasso", "box"]) {
      decaf.el(`tool-${tool}`).addEventListener("click", () => this.use(tool));
    }
    decaf.el("zoom-in").addEventListener("click", () => this.zoom(1.8));
    decaf.el("zoom-out").addEventListener("click", () => this.zoom(1 / 1.8));
    decaf.el("fit").addEventListener("click", () => this.fit());
    decaf.el("larger").addEventListener("click", () => this.resize(1.25));
    decaf.el("smaller").addEventListener("click", () => this.resize(1 / 1.25));
  }

  use(tool) {
    this.tool = tool;
    for (const name of ["move", "lasso", "box"]) {
      decaf.el(`tool-${name}`).setAttribute("aria-pressed", String(name === tool));
    }
    this.canvas.dataset.tool = tool;
  }

  resize(factor) {
    this.scene.size = Math.min(Math.max(this.scene.size * factor, 0.2), 6);
    this.scene.draw();
    this.state.emit("moved");
  }

  zoom(factor, left = this.scene.camera.width / 2, top = this.scene.camera.middle) {
    const { camera } = this.scene;
    const before = camera.view();
    camera.zoomAt(factor, left, top);
    const after = camera.view();
    camera.set(before);
    decaf.fly(after);
  }

  fit() {
    decaf.fly({ x: 0, y: 0, scale: this.scene.camera.fitted });
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  wheel(event) {
    event.preventDefault();
    decaf.flight = (decaf.flight ?? 0) + 1;
    const lines = event.deltaMode === 1 ? 16 : 1;
    const step = Math.min(Math.max(event.deltaY * lines, -240), 240);
    this.scene.camera.zoomAt(Math.exp(-step * (event.ctrlKey ? 0.01 : 0.002)), ...this.at(event));
    this.moved();
  }

  moved() {
    this.tip(-1);
    this.scene.draw();
    this.state.emit("moved");
  }

  pointerdown(event) {
    if (event.button > 1) return;
    decaf.flight = (decaf.flight ?? 0) + 1;
    this.canvas.setPointerCapture(event.pointerId);
    const at = this.at(event);
    this.down.set(event.pointerId, at);
    if (this.down.size === 2) return this.startPinch();
    const tool = event.shiftKey && this.tool === "move" ? "lasso" : event.button === 1 ? "move" : this.tool;
    const how = event.altKey ? "remove" : event.shiftKey && this.tool !== "move" ? "add" : "new";
    this.gesture = { tool, how, start: at, last: at, far: false, trail: [at] };
    return null;
  }

  startPinch() {
    this.scene.overlay.outline = null;
    this.gesture = { tool: "pinch", ...this.pinch() };
  }

  pinch() {
    const [[x0, y0], [x1, y1]] = [...this.down.values()];
    return { middle: [(x0 + x1) / 2, (y0 + y1) / 2], apart: Math.max(Math.hypot(x1 - x0, y1 - y0), 8) };
  }

  pointermove(event) {
    const at = this.at(event);
    if (!this.down.has(event.pointerId)) return this.hover(at, event);
    this.down.set(event.pointerId, at);
    const { gesture } = this;
    if (!gesture) return null;
    if (gesture.tool === "pinch") return this.movePinch();
    gesture.far ||= Math.hypot(at[0] - gesture.start[0], at[1] - gesture.start[1]) > (event.pointerType === "touch" ? 8 : 4);
    if (!gesture.far) return null;
    if (gesture.tool === "move") this.drag(at);
    else this.trace(at);
    gesture.last = at;
    return null;
  }

  drag(at) {
    const { last } = this.gesture;
    this.canvas.classList.add("dragged");
    this.scene.camera.panBy(at[0] - last[0], at[1] - last[1]);
    this.moved();
  }

  trace(at) {
    const { gesture, scene } = this;
    const [x, y] = gesture.start;
    if (gesture.tool === "box") gesture.trail = [[x, y], [at[0], y], at, [x, at[1]]];
    else gesture.trail.push(at);
    scene.overlay.outline = gesture.trail;
    scene.draw();
  }

  movePinch() {
    if (this.down.size < 2) return;
    const { gesture, scene } = this;
    const now = this.pinch();
    scene.camera.panBy(now.middle[0] - gesture.middle[0], now.middle[1] - gesture.middle[1]);
    scene.camera.zoomAt(now.apart / gesture.apart, ...now.middle);
    Object.assign(gesture, now);
    this.moved();
  }

  pointerup(event) {
    if (!this.down.delete(event.pointerId)) return;
    const { gesture } = this;
    this.canvas.classList.remove("dragged");
    if (!gesture || gesture.tool === "pinch") {
      this.gesture = null;
      return;
    }
    this.gesture = null;
    if (!gesture.far) this.click(this.at(event), event);
    else if (gesture.tool !== "move") this.select(gesture);
  }

  pointercancel(event) {
    this.down.delete(event.pointerId);
    this.gesture = null;
    this.scene.overlay.outline = null;
    this.scene.draw();
  }

  pointerleave() {
    if (!this.gesture) this.tip(-1);
  }

  click(at, event) {
    const row = this.scene.pick(...at, event.pointerType === "touch" ? 18 : 8);
    if (row >= 0 && (event.shiftKey || event.altKey)) this.state.select([row], event.altKey ? "remove" : "add");
    else this.state.open(row);
    this.tip(-1);
  }

  select({ trail, how }) {
    const { scene, state } = this;
    scene.overlay.outline = null;
    const inside = decaf.insideOf(trail);
    const rows = scene.within(inside).filter((row) => !state.found || state.found[row]);
    state.select(rows, how);
    decaf.say(`${decaf.count(state.selectedCount, "picture", "pictures")} selected`);
  }

  hover(at, event) {
    if (event.pointerType === "touch" || this.scene.overlay.outline) return;
    const row = this.scene.pick(...at);
    if (row !== this.scene.hover) {
      this.scene.hover = row;
      this.scene.draw();
    }
    this.tip(row, at);
  }

  // A few words beside the pointer.
  tip(row, at) {
    const tip = decaf.el("tip");
    tip.hidden = row < 0;
    this.canvas.classList.toggle("over", row >= 0);
    if (row < 0) {
      if (this.scene.hover >= 0) {
        this.scene.hover = -1;
        this.scene.draw();
      }
      return;
    }
    const { site, column } = this.state;
    const text = column < 0 ? "" : site.text(column, row);
    tip.replaceChildren(
      decaf.make("b", {}, text || (column < 0 ? "" : "not known")),
      decaf.make("span", {}, site.path(row)),
    );
    const { width, height } = this.scene.camera;
    const left = Math.min(at[0] + 34, width - tip.offsetWidth - 8);
    const below = at[1] + 34 + tip.offsetHeight > height;
    tip.style.transform = `translate(${Math.max(left, 8)}px, ${below ? at[1] - 34 - tip.offsetHeight : at[1] + 30}px)`;
  }
};

// Whether a point lies in a polygon: a ray to the right crosses its sides an odd number of times.
decaf.insideOf = (polygon) => {
  const xs = polygon.map(([x]) => x), ys = polygon.map(([, y]) => y);
  const [left, right] = [Math.min(...xs), Math.max(...xs)];
  const [top, bottom] = [Math.min(...ys), Math.max(...ys)];
  return (x, y) => {
    if (!(x >= left && x <= right && y >= top && y <= bottom)) return false;
    let inside = false;
    for (let i = 0, j = xs.length - 1; i < xs.length; j = i++) {
      if (ys[i] > y !== ys[j] > y && x < ((xs[j] - xs[i]) * (y - ys[i])) / (ys[j] - ys[i]) + xs[i]) inside = !inside;
    }
    return inside;
  };
};
