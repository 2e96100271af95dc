"use strict";
// The keyboard.
decaf.Keys = class {
  constructor({ state, scene, pointer, layers }) {
    Object.assign(this, { state, scene, pointer, layers });
    this.seen = [];
    document.addEventListener("keydown", (event) => this.press(event));
  }

  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || decaf.el("help").open) return;
    if (event.key === "Escape") return this.escape(event);
    if (event.target.closest("input, select, textarea")) return;
    const action = this.actions()[event.key] ?? this.actions()[event.key.toLowerCase()];
    const onMap = event.target === decaf.el("map") || event.target === document.body;
    if (!action || (["Enter", " "].includes(event.key) && !onMap)) return;
    event.preventDefault();
    action();
  }

  escape(event) {
    if (event.target.closest("input")) event.target.blur();
    this.state.clear();
  }

  actions() {
    const { pointer, layers, scene } = this;
    const pan = (x, y) => () => {
      const { camera } = scene;
      decaf.fly({ x: camera.x + (x * 120) / camera.scale, y: camera.y + (y * 120) / camera.scale, scale: camera.scale });
    };
    return {
      ArrowLeft: pan(-1, 0), ArrowRight: pan(1, 0), ArrowUp: pan(0, 1), ArrowDown: pan(0, -1),
      "+": () => pointer.zoom(1.8), "=": () => pointer.zoom(1.8), "-": () => pointer.zoom(1 / 1.8),
      "0": () => pointer.fit(),
      "[": () => layers.go(scene.layer - 1), "]": () => layers.go(scene.layer + 1),
      v: () => pointer.use("move"), l: () => pointer.use("lasso"), b: () => pointer.use("box"),
      p: () => decaf.app.switchMode(),
      "/": () => decaf.el("query").focus(),
      "?": () => decaf.el("help").showModal(),
      Enter: () => this.openMiddle(), " ": () => this.openMiddle(),
      n: () => this.next(),
    };
  }

  // The picture nearest to the middle of the screen.
  openMiddle() {
    const { camera, site } = this.scene;
    let best = -1, least = Infinity;
    for (let row = 0; row < site.count; row++) {
      if (!this.scene.isShown(row)) continue;
      const [x, y] = this.scene.place(row);
      const distance = Math.hypot(x - camera.x, y - camera.y) + (this.scene.isClear(row) ? 0 : 4);
      if (distance < least) [best, least] = [row, distance];
    }
    this.seen = [best];
    this.state.open(best);
  }

  // The nearest picture that was not visited on this walk.
  next() {
    const { open, near } = this.scene;
    if (open < 0) return this.openMiddle();
    if (!this.seen.includes(open)) this.seen = [open];
    const row = near.find((other) => !this.seen.includes(other));
    if (row === undefined) return decaf.say("All its neighbours were visited.");
    this.seen.push(row);
    return this.state.open(row);
  }
};
