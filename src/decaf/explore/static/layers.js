"use strict";
// The slider between the maps of several layers.
decaf.LayerSlider = class {
  constructor(state) {
    this.state = state;
    this.scene = state.scene;
    const { layers } = state.site;
    this.slider = decaf.el("layer");
    this.slider.max = layers.length - 1;
    decaf.el("layers").hidden = layers.length < 2;
    decaf.el("layers").style.setProperty("--layers", layers.length);
    this.names = layers.map((layer, index) => decaf.make(
      "button", { type: "button", title: layer.name, onclick: () => this.go(index) }, layer.name,
    ));
    decaf.el("layer-names").append(...this.names);
    this.slider.addEventListener("input", () => {
      this.stop();
      this.scene.moveTo(Number(this.slider.value)).then(() => this.mark());
    });
    this.slider.addEventListener("change", () => this.go(Math.round(Number(this.slider.value))));
    decaf.el("play").addEventListener("click", () => this.play());
    this.mark();
  }

  mark() {
    const { layer, position } = this.scene;
    this.slider.value = position;
    this.slider.setAttribute("aria-valuetext", this.state.site.layers[layer].name);
    this.names.forEach((button, index) => button.setAttribute("aria-pressed", String(index === layer)));
  }

  stop() {
    this.turn = (this.turn ?? 0) + 1;
    return this.turn;
  }

  // Move the points to the map of a layer, passing those between. Resolves when they are there.
  async go(target) {
    const turn = this.stop();
    const { scene, state } = this;
    const last = state.site.layers.length - 1;
    const end = Math.min(Math.max(target, 0), last);
    const start = scene.position;
    const between = Array.from({ length: last + 1 }, (_, i) => i);
    const passed = between.filter((i) => i >= Math.floor(Math.min(start, end)) && i <= Math.ceil(Math.max(start, end)));
    await Promise.all(passed.map((index) => state.site.loadLayer(index)));
    const time = decaf.still() ? 0 : 900 * Math.max(Math.abs(end - start), 0.3) ** 0.7;
    await decaf.animate(time, (share) => {
      if (turn !== this.turn) return false;
      scene.position = share === 1 ? end : start + (end - start) * share;
      this.mark();
      scene.draw();
      return true;
    });
    if (turn !== this.turn) return;
    if (scene.open >= 0) await state.open(scene.open);
    state.emit("moved");
    decaf.say(`Map of ${state.site.layers[end].name}`);
  }

  async play() {
    const last = this.state.site.layers.length - 1;
    const back = this.scene.layer === last;
    for (let i = this.scene.layer + (back ? -1 : 1); i >= 0 && i <= last; i += back ? -1 : 1) {
      await this.go(i);
      const turn = this.turn;
      await new Promise((resolve) => setTimeout(resolve, 500));
      if (turn !== this.turn) return;
    }
  }
};

decaf.still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

// Call step(share from 0 to 1) once a frame for a time in ms, until it says false.
decaf.animate = (time, step) => new Promise((resolve) => {
  const start = performance.now();
  const frame = () => {
    const share = time > 0 ? Math.min((performance.now() - start) / time, 1) : 1;
    if (step(share) === false || share === 1) resolve();
    else requestAnimationFrame(frame);
  };
  frame();
});

// Move the view smoothly: the zoom evenly in its logarithm.
decaf.fly = (view) => {
  const { scene } = decaf.app;
  const start = scene.camera.view();
  const turn = (decaf.flight = (decaf.flight ?? 0) + 1);
  return decaf.animate(decaf.still() ? 0 : 500, (share) => {
    if (turn !== decaf.flight) return false;
    const s = share * share * (3 - 2 * share);
    scene.camera.set({
      x: start.x + (view.x - start.x) * s,
      y: start.y + (view.y - start.y) * s,
      scale: start.scale * (view.scale / start.scale) ** s,
    });
    scene.draw();
    if (share === 1) decaf.app.state.emit("moved");
    return true;
  });
};
