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

  // closeUps: pictures that are drawn here, the lowest first.
  draw(closeUps) {
    const { pen, canvas, ratio } = this;
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    closeUps.forEach((one) => this.drawCloseUp(one));
    this.drawLines();
    this.drawNames();
    this.onTop?.(pen);
    if (this.outline) this.drawOutline();
  }

  drawCloseUp({ box: [left, top, width, height], colour, alpha, image, tile }) {
    const { pen } = this;
    pen.globalAlpha = alpha;
    pen.fillStyle = colour;
    pen.fillRect(left - 3, top - 3, width + 6, height + 6);
    if (image) pen.drawImage(image, left, top, width, height);
    else if (tile) pen.drawImage(tile.sheet, tile.left, tile.top, tile.side, tile.side, left, top, width, height);
    pen.globalAlpha = 1;
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

  // The names of classes where most of each lie, the largest class first; a name that would cover another is left out.
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
    const taken = this.above();
    for (const code of here.order) {
      if (!there.places[code]) continue;
      const x = here.places[code][0] + (there.places[code][0] - here.places[code][0]) * share;
      const y = here.places[code][1] + (there.places[code][1] - here.places[code][1]) * share;
      const [left, top] = scene.camera.toScreen(x, y);
      this.drawName(this.names.texts[code], left, top, taken);
    }
  }

  // Where the open picture, its neighbours and the one under the pointer lie: middles and half sides.
  above() {
    const { scene } = this;
    return [scene.open, scene.hover, ...scene.near].filter((row) => row >= 0).map((row) => {
      const half = Math.max(scene.side, row === scene.open ? 64 : 48) / 2;
      return [...scene.camera.toScreen(...scene.place(row)), half, half];
    });
  }

  drawName(name, left, top, taken) {
    const { pen } = this;
    const text = name.length > 28 ? `${name.slice(0, 27)}…` : name;
    const half = pen.measureText(text).width / 2 + 3;
    if (left < half || top < 9 || left > this.scene.camera.width - half || top > this.scene.camera.height - 9) return;
    const covered = ([x, y, wide, high]) => Math.abs(x - left) < wide + half && Math.abs(y - top) < high + 8.5;
    if (taken.some(covered)) return;
    taken.push([left, top, half, 8.5]);
    pen.strokeStyle = this.halo;
    pen.strokeText(text, left, top);
    pen.fillStyle = this.ink;
    pen.fillText(text, left, top);
  }

  // Where most of the shown rows of each category lie in a layer, kept until the names change.
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
    const order = rows.map((_, code) => code).filter((code) => rows[code].length);
    order.sort((a, b) => rows[b].length - rows[a].length);
    return { order, places: rows.map((list) => (list.length ? decaf.densest(list, places) : null)) };
  }
};

// The middle of the rows in the fullest 3 x 3 cells of a grid: where a class is, even if parts of it lie elsewhere.
decaf.densest = (rows, places) => {
  const SIDE = 32;
  const cell = (row, axis) => Math.min(Math.floor(((places[2 * row + axis] + 1) / 2) * SIDE), SIDE - 1);
  const counts = new Uint32Array((SIDE + 2) * (SIDE + 2));
  for (const row of rows) {
    for (let dx = 0; dx < 3; dx++) {
      for (let dy = 0; dy < 3; dy++) counts[(cell(row, 1) + dy) * (SIDE + 2) + cell(row, 0) + dx]++;
    }
  }
  const best = counts.indexOf(Math.max(...counts));
  const [x, y] = [(best % (SIDE + 2)) - 1, Math.floor(best / (SIDE + 2)) - 1];
  const inside = rows.filter((row) => Math.abs(cell(row, 0) - x) <= 1 && Math.abs(cell(row, 1) - y) <= 1);
  const mean = (axis) => inside.reduce((sum, row) => sum + places[2 * row + axis], 0) / inside.length;
  return [mean(0), mean(1)];
};
