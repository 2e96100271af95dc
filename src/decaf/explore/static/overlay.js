"use strict";
// What lies above the pictures: names of classes, lines to neighbours, the lasso.
decaf.Overlay = class {
  constructor(canvas, scene) {
    this.canvas = canvas;
    this.scene = scene;
    this.pen = canvas.getContext("2d");
    this.outline = null; // of a lasso or a box, on the screen
    this.names = null; // { texts, counts, codes } of the column whose names are written
    this.middles = new Map();
  }

  resize(width, height, ratio) {
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.ratio = ratio;
  }

  setNames(names) {
    this.names = names;
    this.middles.clear();
  }

  draw() {
    const { pen, canvas, ratio } = this;
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.drawLines();
    this.drawNames();
    if (this.outline) this.drawOutline();
  }

  drawLines() {
    const { scene, pen } = this;
    if (scene.open < 0 || !scene.near.length) return;
    const start = scene.camera.toScreen(...scene.place(scene.open));
    pen.strokeStyle = this.accent;
    pen.lineWidth = 1.5;
    pen.globalAlpha = 0.7;
    pen.beginPath();
    for (const row of scene.near) {
      const end = scene.camera.toScreen(...scene.place(row));
      if (!Number.isFinite(start[0] + end[0])) continue;
      pen.moveTo(...start);
      pen.lineTo(...end);
    }
    pen.stroke();
    pen.globalAlpha = 1;
  }

  drawOutline() {
    const { pen, outline } = this;
    pen.beginPath();
    outline.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
    pen.closePath();
    pen.strokeStyle = this.accent;
    pen.fillStyle = this.accent;
    pen.lineWidth = 1.5;
    pen.globalAlpha = 0.12;
    pen.fill();
    pen.globalAlpha = 1;
    pen.stroke();
  }

  // The names of classes at their medians, the largest class first; a name that would cover another is left out.
  drawNames() {
    if (!this.names || this.scene.side > 64) return;
    const { pen, scene } = this;
    const { from, to, share } = scene.between;
    const here = this.middle(from);
    const there = share ? this.middle(to) : here;
    pen.font = "600 12px system-ui, sans-serif";
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.lineJoin = "round";
    pen.lineWidth = 3.5;
    const taken = [];
    for (const code of here.order) {
      if (!there.places[code]) continue;
      const x = here.places[code][0] + (there.places[code][0] - here.places[code][0]) * share;
      const y = here.places[code][1] + (there.places[code][1] - here.places[code][1]) * share;
      const [left, top] = scene.camera.toScreen(x, y);
      this.drawName(this.names.texts[code], left, top, taken);
    }
  }

  drawName(name, left, top, taken) {
    const { pen } = this;
    const text = name.length > 28 ? `${name.slice(0, 27)}…` : name;
    const half = pen.measureText(text).width / 2 + 3;
    if (left < half || top < 9 || left > this.scene.camera.width - half || top > this.scene.camera.height - 9) return;
    if (taken.some(([x, y, w]) => Math.abs(x - left) < w + half && Math.abs(y - top) < 17)) return;
    taken.push([left, top, half]);
    pen.strokeStyle = this.halo;
    pen.strokeText(text, left, top);
    pen.fillStyle = this.ink;
    pen.fillText(text, left, top);
  }

  // Medians of the shown rows of each category in a layer, kept until the names change.
  middle(layer) {
    if (!this.middles.has(layer)) this.middles.set(layer, this.findMiddles(layer));
    return this.middles.get(layer);
  }

  findMiddles(layer) {
    const { scene, names } = this;
    const places = scene.site.places[layer];
    const rows = names.texts.map(() => []);
    for (let row = 0; row < names.codes.length; row++) {
      const code = names.codes[row];
      if (code >= 0 && scene.isClear(row) && Number.isFinite(places[2 * row])) rows[code].push(row);
    }
    const median = (list, axis) => {
      const values = Float32Array.from(list, (row) => places[2 * row + axis]).sort();
      return values[values.length >> 1];
    };
    const order = rows.map((_, code) => code).filter((code) => rows[code].length);
    order.sort((a, b) => rows[b].length - rows[a].length);
    return { order, places: rows.map((list) => (list.length ? [median(list, 0), median(list, 1)] : null)) };
  }
};
